// Chromium with a fresh profile, and what the tests wait for.
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import puppeteer from 'puppeteer-core'

// How long anything may take, in milliseconds: a first load on a busy machine.
const LIMIT = 60_000

const chromium = execFileSync('/bin/sh', ['-c', 'command -v chromium'], { encoding: 'utf8' }).trim()

const flags = [
	'--disable-background-networking',
	'--disable-component-update',
	'--disable-gpu',
	'--disable-quic',
	'--disable-sync',
	'--no-first-run',
	...(process.getuid() === 0 ? ['--no-sandbox'] : []),
]

const endings = new WeakMap()

// atEnd has things ended with the test t, the last that was started first: what
// is connected to a server has to go before it.
export function atEnd(t, end) {
	if (!endings.has(t)) {
		const stack = []
		endings.set(t, stack)
		t.after(async () => {
			for (const each of stack.reverse()) await each()
		})
	}
	endings.get(t).push(end)
}

// newProfile resolves to a folder for a browser profile that ends with the test.
async function newProfile(t) {
	const profile = await mkdtemp(join(tmpdir(), 'reauth-profile-'))
	atEnd(t, () => rm(profile, { recursive: true, force: true, maxRetries: 5 }))
	return profile
}

// launch starts a browser that ends with the test t, on a new profile unless one
// is given, and resolves to its first page.
export async function launch(t, profile) {
	const browser = await puppeteer.launch({
		executablePath: chromium,
		userDataDir: profile ?? (await newProfile(t)),
		args: flags,
		protocolTimeout: 2 * LIMIT,
		defaultViewport: { width: 1280, height: 800 },
	})
	atEnd(t, () => browser.close())
	const [page] = await browser.pages()
	return prepare(page)
}

// newTab opens another page of the same profile, which is then in front.
export async function newTab(page) {
	return prepare(await page.browser().newPage())
}

function prepare(page) {
	page.setDefaultTimeout(LIMIT)
	// Where the page's own document went, in order.
	page.visited = []
	page.on('framenavigated', (frame) => {
		if (frame === page.mainFrame()) page.visited.push(frame.url())
	})
	return page
}

// until resolves to what check returns once that is true.
export async function until(what, check) {
	const deadline = Date.now() + LIMIT
	for (;;) {
		const result = await check()
		if (result) return result
		if (Date.now() > deadline) throw new Error(`in vain for ${LIMIT / 1000} s: ${what}`)
		await pause(20)
	}
}

// covered resolves once a worker with the refresh script controls the page. The
// script makes its note with a request it sees. Requests are made sparingly: with
// each one the browser puts off its look for a new worker, and a new worker waits
// for those of the old one.
export async function covered(page) {
	await page.waitForFunction(
		async () => {
			if (navigator.serviceWorker.controller?.state !== 'activated') return false
			if (!(performance.now() - window.asked < 2000)) {
				window.asked = performance.now()
				await fetch('/favicon.ico')
			}
			const cache = await caches.open('reauth')
			return (await cache.keys()).some(({ url }) => url.includes('/_reauth?installed='))
		},
		{ polling: 100 },
	)
}

// atLogin resolves once the page shows the login of the auth server.
export async function atLogin(page) {
	await page.waitForSelector('[name=username]')
}

// mark marks the page's document, isMarked tells whether it is still the same.
export const mark = (page) =>
	page.evaluate(() => {
		document.documentElement.dataset.marked = 'yes'
	})
export const isMarked = (page) => page.evaluate(() => document.documentElement.dataset.marked === 'yes')

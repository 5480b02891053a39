// The browsers with fresh profiles, and what the tests wait for.
import { execFileSync } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import puppeteer from 'puppeteer-core'
import { atEnd, LIMIT, newProfile } from './common.js'
import { launchWebKit } from './webkit.js'

const find = (program) => execFileSync('/bin/sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).trim()

const isRoot = process.getuid() === 0

// How each engine is started, with a folder for its profile, and Chromium with
// the hash of the one key that it trusts besides those it knows.
const launchers = {
	chromium: (t, userDataDir, keyHash) =>
		launchPuppeteer(t, {
			executablePath: find('chromium'),
			userDataDir,
			args: [
				'--disable-background-networking',
				'--disable-component-update',
				'--disable-gpu',
				'--disable-quic',
				'--disable-sync',
				'--no-first-run',
				...(isRoot ? ['--no-sandbox'] : []),
				...(keyHash ? [`--ignore-certificate-errors-spki-list=${keyHash}`] : []),
			],
		}),
	// WebDriver BiDi: Debian has no driver program for Firefox.
	firefox: (t, userDataDir) =>
		launchPuppeteer(t, {
			browser: 'firefox',
			executablePath: find('firefox-esr'),
			userDataDir,
			extraPrefsFirefox: {
				// The names of the stand, which Firefox asks a name server for.
				'network.dns.localDomains': 'app.example.localhost,auth.example.localhost,sso.example.localhost',
			},
		}),
	webkit: launchWebKit,
}

// launch starts a browser that ends with the test t, on a new profile, and
// resolves to its first page.
export const launch = async (t, engine = 'chromium', keyHash) => launchers[engine](t, await newProfile(t), keyHash)

// launchWithoutCookies starts a Chromium in which a person has blocked all cookies.
export async function launchWithoutCookies(t) {
	const profile = await newProfile(t)
	await mkdir(join(profile, 'Default'))
	const preferences = { profile: { default_content_setting_values: { cookies: 2 } } }
	await writeFile(join(profile, 'Default', 'Preferences'), JSON.stringify(preferences))
	return launchers.chromium(t, profile)
}

async function launchPuppeteer(t, options) {
	const browser = await puppeteer.launch({
		protocolTimeout: 2 * LIMIT,
		defaultViewport: { width: 1280, height: 800 },
		...options,
	})
	atEnd(t, () => browser.close())
	const [page] = await browser.pages()
	return prepare(page)
}

// newTab opens another page of the same profile, which is then in front.
export async function newTab(page) {
	return prepare(await page.browser().newPage())
}

// newPerson opens a page of another profile in the same browser, which ends with the test t.
export async function newPerson(t, page) {
	const profile = await page.browser().createBrowserContext()
	atEnd(t, () => profile.close())
	return prepare(await profile.newPage())
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

// isCovered tells whether a worker with the refresh script controls the page, which it
// is asked as the script asks. One without the script says nothing, which no event tells
// before the limit. One that says no will not change its mind, and asked on it would never
// have the rest that Chromium may want before another takes its place.
const isCovered = async (limit) => {
	const { controller } = navigator.serviceWorker
	if (!controller) return false
	const { port1, port2 } = new MessageChannel()
	const answer = new Promise((resolve) => {
		port1.onmessage = ({ data }) => data && resolve(true)
		navigator.serviceWorker.addEventListener('controllerchange', () => resolve(false), { once: true })
		setTimeout(resolve, limit, false)
	})
	controller.postMessage({ type: 'REAUTH_IN_CHARGE' }, [port2])
	return answer
}

// covered resolves once the page is covered. Questions are put sparingly: a new worker
// waits for what the old one has to do, and Chromium may wait until that has had nothing
// to do for 30 seconds.
export async function covered(page) {
	try {
		await page.waitForFunction(isCovered, { polling: 100 }, page.longest ?? 40_000)
	} catch (cause) {
		throw new Error(`not covered: ${await page.evaluate(describeWorkers)}`, { cause })
	}
}

// describeWorkers tells where a page is and which workers it has, for a test that fails.
const describeWorkers = async () => {
	const registration = await navigator.serviceWorker.getRegistration()
	const { controller } = navigator.serviceWorker
	const states = ['installing', 'waiting', 'active'].map((name) => `${name}: ${registration?.[name]?.state}`)
	const isOther = controller !== registration?.active
	return `${location.href}, controller: ${controller?.state}${isOther ? ', which is another' : ''}, ${states.join(', ')}`
}

// uncovered resolves once a worker without the refresh script controls the page.
export async function uncovered(page) {
	await page.waitForFunction(() => Boolean(navigator.serviceWorker.controller))
	if (await page.evaluate(isCovered, 2000)) throw new Error('the refresh script is in charge')
}

// distrust has the worker ask anew whether the session is good with the next request.
export const distrust = (page, stand) => page.evaluate((path) => fetch(path).then(({ ok }) => ok), stand.authPath)

// atLogin resolves once the page shows the login of the auth server.
export async function atLogin(page) {
	try {
		await page.locator('[name=username]').wait()
	} catch (cause) {
		const told = await page.evaluate(describeSession).catch(({ message }) => message)
		throw new Error(`not at the login: ${told}`, { cause })
	}
}

// describeSession tells where a page is, and what its worker knows, for a test that fails.
const describeSession = async () => {
	const { port1, port2 } = new MessageChannel()
	const status = new Promise((resolve) => {
		port1.onmessage = ({ data }) => resolve(data)
		setTimeout(resolve, 2000)
	})
	navigator.serviceWorker.controller?.postMessage({ type: 'REAUTH_STATUS' }, [port2])
	return `${location.href}, ${document.visibilityState}, worker: ${JSON.stringify(await status)}`
}

// placeOf resolves to the URL that the page shows.
export const placeOf = (page) => page.evaluate(() => location.href)

// mark marks the page's document, isMarked tells whether it is still the same.
export const mark = (page) =>
	page.evaluate(() => {
		document.documentElement.dataset.marked = 'yes'
	})
export const isMarked = (page) => page.evaluate(() => document.documentElement.dataset.marked === 'yes')

// With a good session an app behaves as without the plugin: each of these does the
// same with and without it, in every engine, and compares.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until } from './common.js'
import { covered, distrust } from './engines.js'
import { compare, enter, handWritten, Pwa } from './pwa.js'

// How long streams are watched, in seconds: longer than any engine leaves a worker
// alone that has nothing to do.
const STREAMS = 75

// An app's worker that has no listener for requests, and one that does nothing there.
const workers = { none: '', empty: 'addEventListener("fetch", () => {})', some: handWritten }

// same is compare where the session's end is known.
const same = (t, settings, observe) => compare(t, { KnownEnd: true, ...settings }, observe)

// streams opens a stream of each kind and resolves to how many seconds each lived, at
// most STREAMS, with nothing else requested.
const streams = (page) =>
	page.evaluate(async (most) => {
		const counted = (count) => count >= most
		const read = async (path) => {
			const reader = (await fetch(path)).body.getReader()
			let count = 0
			try {
				while (!counted(count) && !(await reader.read()).done) count++
			} catch {
				// It is cut off.
			}
			reader.cancel().catch(() => {})
			return count
		}
		const listen = (path) =>
			new Promise((resolve) => {
				const source = new EventSource(path)
				let count = 0
				source.onmessage = () => {
					if (!counted(++count)) return
					source.close()
					resolve(count)
				}
				source.onerror = () => {
					source.close()
					resolve(count)
				}
			})
		// What a picture that is a stream has shown only the server can tell.
		const motion = new Image()
		motion.src = '/api/motion'
		document.body.append(motion)
		const lived = await Promise.all([read('/api/ticks'), listen('/api/events')])
		motion.remove()
		return lived
	}, STREAMS)

async function streamsLive(t, engine) {
	const watch = (KnownEnd) =>
		same(t, { engine, KnownEnd, worker: workers.none }, async ({ app, page }) => {
			const [ticks, events] = await streams(page)
			return { ticks, events, motion: app.parts['/api/motion'] > STREAMS - 3 }
		})
	for (const lived of await Promise.all([watch(true), watch(false)])) {
		assert.deepEqual(lived, { ticks: STREAMS, events: STREAMS, motion: true })
	}
}

// load resolves to how long the page of many files takes to load, in milliseconds.
const load = async (page, stand) => {
	await page.goto(`${stand.app}/many?${Math.random()}`)
	await page.waitForFunction(() => window.scripts === 60)
	return page.evaluate(() => performance.getEntriesByType('navigation')[0].loadEventEnd)
}

// How long it takes is printed, and not judged: on a machine that others share too.
async function pagesLoad(t, engine) {
	const visits = []
	for (const Plugin of [true, false]) {
		const app = await Pwa.start(t, { worker: workers.empty })
		const { stand, page } = await enter(t, app, { engine, KnownEnd: true, Plugin })
		if (Plugin) await covered(page)
		await page.evaluate(async () => Boolean((await navigator.serviceWorker.ready).active))
		visits.push({ page, stand })
	}
	const ratios = []
	for (let pair = 0; pair < 9; pair++) {
		const times = []
		for (const { page, stand } of visits) times.push(await load(page, stand))
		ratios.push(times[0] / times[1])
	}
	ratios.sort((a, b) => a - b)
	t.diagnostic(
		`a page of 60 files loads in ${ratios[4].toFixed(2)} of the time without the plugin, as the median of pairs`,
	)
}

// uploads sends files by XMLHttpRequest and resolves to what came of them.
const uploads = (page, size) =>
	page.evaluate(async (size) => {
		const send = (path, body, seen) =>
			new Promise((resolve) => {
				const request = new XMLHttpRequest()
				let events = 0
				request.upload.onprogress = () => {
					events++
					seen?.(request)
				}
				request.onloadend = () => resolve({ status: request.status, progress: events > 1 })
				request.open('POST', path)
				request.send(body)
			})
		const file = new File([new Uint8Array(size)], 'file.bin', { type: 'application/octet-stream' })
		const form = new FormData()
		form.append('file', file)
		return [await send('/api/progress', form), await send('/api/progress', file)]
	}, size)

async function uploadsShow(t, engine) {
	const seen = await same(t, { engine, worker: workers.none }, async ({ app, page }) => {
		const outcomes = await uploads(page, 60 * 1024 * 1024)
		return { outcomes, lengths: app.calls.map(({ body }) => body.length > 60 * 1024 * 1024 - 1) }
	})
	assert.deepEqual(seen.outcomes, Array(2).fill({ status: 200, progress: true }))
	assert.deepEqual(seen.lengths, [true, true])
}

async function uploadsStop(t, engine) {
	const stopped = await same(t, { engine, worker: workers.none }, async ({ app, page }) => {
		await page.evaluate(
			() =>
				new Promise((resolve) => {
					const request = new XMLHttpRequest()
					request.upload.onprogress = () => request.abort()
					request.onabort = resolve
					request.open('POST', '/api/slow-upload')
					request.send(new File([new Uint8Array(60 * 1024 * 1024)], 'file.bin', { type: 'application/octet-stream' }))
				}),
		)
		await until('the end of the upload', () => app.cut.length > 0)
		return app.cut.every((length) => length < 60 * 1024 * 1024)
	})
	assert(stopped)
}

// policies of a worker's script under which it may fetch next to nothing.
const policies = ["default-src 'none'", "default-src 'self'; img-src 'none'", "connect-src 'none'; img-src 'none'"]

async function policiesBreakNothing(t, engine) {
	for (const policy of policies) {
		const prepare = (app) => {
			app.workerHeaders = { ...app.workerHeaders, 'Content-Security-Policy': policy }
		}
		const seen = await same(t, { engine, prepare, worker: workers.empty }, async ({ app, stand, page, Plugin }) => {
			if (Plugin) await distrust(page, stand)
			const load = () =>
				page.evaluate(async () => {
					const image = new Image()
					image.src = `/picture?${Math.random()}`
					await image.decode()
					const { status } = await fetch('/api/save', { method: 'POST', body: 'edit' })
					return [image.naturalWidth, status, (await fetch('/api/a')).status]
				})
			return [await load(), await load(), app.calls.map(({ path }) => path)]
		})
		assert.deepEqual(seen.slice(0, 2), Array(2).fill([7, 200, 200]))
	}
}

// What a page asks for, and what the app sees of who asks.
async function asksAsEver(t, engine) {
	for (const worker of [workers.none, workers.some]) {
		await same(t, { engine, worker, KnownEnd: false }, async ({ app, stand, page, Plugin }) => {
			const ask = async () => {
				app.calls.length = 0
				await page.evaluate(async () => {
					const loaded = (element, attributes) =>
						new Promise((resolve) => {
							element.onload = resolve
							element.onerror = resolve
							Object.assign(element, attributes)
							document.head.append(element)
						})
					const anew = `?${Math.random()}`
					await loaded(document.createElement('img'), { src: `/picture${anew}` })
					await loaded(document.createElement('script'), { src: `/script.js${anew}` })
					await loaded(document.createElement('script'), { src: `/script-module.js${anew}`, type: 'module' })
					await (await fetch('/api/a', { headers: { 'X-App': 'yes', Range: 'bytes=1-2' } })).text()
				})
				return app.calls.map(({ method, path, headers }) => ({
					method,
					path,
					site: headers['sec-fetch-site'],
					mode: headers['sec-fetch-mode'],
					dest: headers['sec-fetch-dest'],
					own: headers['x-app'],
					range: headers.range,
					referrer: headers.referer && new URL(headers.referer).pathname,
				}))
			}
			// Held first, then left alone.
			if (Plugin) await distrust(page, stand)
			return [await ask(), await ask()]
		})
	}
}

export const aside = {
	'streams live as long as without the plugin': streamsLive,
	'a page of many files loads as without the plugin': pagesLoad,
	'uploads show their progress': uploadsShow,
	'uploads stop when they are cancelled': uploadsStop,
	"a policy on the app's worker breaks nothing": policiesBreakNothing,
	'requests say of themselves what they say without the plugin': asksAsEver,
}

// standAside tests them in an engine.
export function standAside(engine) {
	for (const [what, keep] of Object.entries(aside)) test(`${engine}, apps: ${what}`, (t) => keep(t, engine))
}

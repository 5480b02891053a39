// What becomes of apps that are not Actual when sessions end, in every engine. Where it
// can be had without the plugin too, the same is done without it and compared.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until } from './common.js'
import { atLogin, covered, distrust, isMarked, mark, placeOf, uncovered } from './engines.js'
import { atApp, begin, call, compare, expire, handWritten, logInAndBack, open, refused, workbox } from './pwa.js'

// A page from the cache, as every worker here has it. The paths of the login are left
// alone, as far as the plugin's are not: without the plugin nobody could log in else.
const cached = `
self.addEventListener('install', (event) => event.waitUntil(caches.open('app').then((cache) => cache.addAll(['/', '/page.js']))))
const pathOf = (request) => new URL(request.url).pathname
const page = async (request) => request.mode === 'navigate' ? caches.match('/') : (await caches.match(request)) ?? fetch(request)
const isApi = (request) => pathOf(request).startsWith('/api/')
self.addEventListener('fetch', (event) => {
	if (pathOf(event.request).startsWith('/outpost.goauthentik.io/')) event.stopImmediatePropagation()
})
`

const answersAll = `${cached}
self.addEventListener('fetch', (event) => event.respondWith(isApi(event.request) ? fetch(event.request) : page(event.request)))
`

// Workbox's queue as its documentation has it, with a message in place of the browser's
// sync event, which one engine alone has. Another message asks how much is in it.
const queues = `
importScripts('/workbox/workbox-sw.js')
workbox.setConfig({ debug: false, modulePathPrefix: '/workbox/' })
const queue = new workbox.backgroundSync.Queue('edits', { onSync: () => {} })
self.addEventListener('fetch', (event) => {
	if (event.request.method !== 'POST') return
	event.respondWith(fetch(event.request.clone()).catch(async () => {
		await queue.pushRequest({ request: event.request })
		return new Response('queued', { status: 202 })
	}))
})
self.addEventListener('message', (event) => {
	const answers = {
		count: () => queue.size(),
		deliver: () => queue.replayRequests().then(() => 'delivered', () => 'kept'),
	}
	const answer = answers[event.data]?.()
	if (answer) event.waitUntil(answer.then((outcome) => event.ports[0].postMessage(outcome)))
})
`

// askForLogin logs in because the person wants to.
async function askForLogin({ page, stand, Plugin }) {
	await page.goto(Plugin ? `${stand.app}/_reauth?rd=%2F` : `${stand.app}/outpost.goauthentik.io/start?rd=%2F`)
	await logInAndBack(page, stand)
}

// cancel opens the app anew in place of the login, as a person does who wants none. An
// app that is in its cache shows.
async function cancel({ page, stand, Plugin }) {
	if (!Plugin) return
	await atLogin(page)
	await page.goto(`${stand.app}/`)
	await atApp(page)
}

const tell = (page, message) =>
	page.evaluate(
		(message) =>
			new Promise((resolve) => {
				const { port1, port2 } = new MessageChannel()
				port1.onmessage = ({ data }) => resolve(data)
				navigator.serviceWorker.controller.postMessage(message, [port2])
			}),
		message,
	)

async function queueKeeps(t, engine) {
	const files = await workbox('sw', 'core', 'background-sync')
	const worker = `${cached}${queues}self.addEventListener('fetch', (event) => { if (!isApi(event.request)) event.respondWith(page(event.request)) })`
	const outcome = await compare(t, { engine, worker, files }, async (visit) => {
		const { app, stand, page } = visit
		await stand.expire('both', '/api/edit')
		await begin(page, '/api/edit', { method: 'POST', body: 'edit' })
		await until('the refusal', async () => {
			const requests = await stand.requests()
			return requests.some(({ RequestPath, DownstreamStatus }) => RequestPath === '/api/edit' && DownstreamStatus > 300)
		})
		await cancel(visit)
		await until('the edit in the queue', async () => (await tell(page, 'count')) === 1)
		const early = await tell(page, 'deliver')
		const before = app.calls.length
		await askForLogin(visit)
		const late = await tell(page, 'deliver')
		return [early, before, late, app.calls.map(({ path, body }) => `${path} ${body}`)]
	})
	assert.deepEqual(outcome, ['kept', 0, 'delivered', ['/api/edit edit']])
}

// cachedBody resolves to what the app's caches have for a path.
const cachedBody = (page, path) => page.evaluate(async (path) => (await caches.match(path))?.text() ?? null, path)

async function cachesStayClean(t, engine) {
	const cacheFirst = `${cached}
self.addEventListener('fetch', (event) => event.respondWith((async () => {
	const { request } = event
	if (!isApi(request)) return page(request)
	const found = await caches.match(request)
	if (found) return found
	const response = await fetch(request)
	if (request.method === 'GET') await (await caches.open('app')).put(request, response.clone())
	return response
})()))`
	const outcome = await compare(t, { engine, worker: cacheFirst }, async (visit) => {
		const { stand, page } = visit
		await stand.expire('both')
		await begin(page, '/api/file')
		await cancel(visit)
		const meanwhile = [(await call(page, '/api/file')).error, await cachedBody(page, '/api/file')]
		await askForLogin(visit)
		return [...meanwhile, (await call(page, '/api/file')).status, JSON.parse(await cachedBody(page, '/api/file')).path]
	})
	assert.deepEqual(outcome, ['TypeError', null, 200, '/api/file'])
}

async function copiesStay(t, engine) {
	const copying = `${cached}
self.addEventListener('fetch', (event) => event.respondWith((async () => {
	const { request } = event
	if (!isApi(request)) return page(request)
	const cache = await caches.open('app')
	try {
		const response = await fetch(request)
		await cache.put(request, response.clone())
		return response
	} catch {
		return cache.match(request)
	}
})()))`
	const outcome = await compare(t, { engine, worker: copying }, async (visit) => {
		const { stand, page } = visit
		const good = await call(page, '/api/copied')
		await stand.expire('both')
		await begin(page, '/api/copied')
		await cancel(visit)
		return [good, await call(page, '/api/copied'), (await cachedBody(page, '/api/copied')) === good.body]
	})
	assert.equal(outcome[0].status, 200)
	assert.deepEqual(outcome[1].body, outcome[0].body)
	assert(outcome[2])
}

// askForAll runs in the page, which asks for one of each kind at once, and resolves to
// whether each was served.
const askForAll = async () => {
	const kinds = {
		picture: async () => {
			const image = new Image()
			image.src = `/picture?${Math.random()}`
			await image.decode()
			return true
		},
		script: () =>
			new Promise((resolve) => {
				const script = Object.assign(document.createElement('script'), { src: `/script.js?${Math.random()}` })
				script.onload = () => resolve(true)
				script.onerror = () => resolve(false)
				document.head.append(script)
			}),
		form: async () => {
			const form = new FormData()
			form.append('file', new File(['x'.repeat(100_000)], 'file.bin', { type: 'application/octet-stream' }))
			return (await fetch('/api/form', { method: 'POST', body: form })).ok
		},
		edit: async () => (await fetch('/api/edit', { method: 'POST', body: 'edit' })).ok,
		stream: async () => {
			const { ok, body } = await fetch('/api/ticks')
			const reader = body.getReader()
			const { value } = await reader.read()
			reader.cancel()
			return ok && value.length > 0
		},
		events: () =>
			new Promise((resolve) => {
				const source = new EventSource('/api/events')
				source.onmessage = () => {
					source.close()
					resolve(true)
				}
				source.onerror = () => {
					source.close()
					resolve(false)
				}
			}),
	}
	const outcomes = Object.entries(kinds).map(async ([what, request]) => [what, await request().catch(String)])
	return Object.fromEntries(await Promise.all(outcomes))
}

async function silentlyServes(t, engine) {
	for (const [worker, KnownEnd] of [
		['', true],
		[answersAll, true],
		[answersAll, false],
	]) {
		const { app, stand, page } = await open(t, { engine, worker, KnownEnd })
		await expire(page, stand, 'proxy')
		assert.deepEqual(await page.evaluate(askForAll), {
			picture: true,
			script: true,
			form: true,
			edit: true,
			stream: true,
			events: true,
		})
		assert(app.calls.find(({ path }) => path === '/api/form').body.length > 100_000)
		assert(await isMarked(page))
		assert.equal(await stand.logins(), 1)
	}
}

async function editsOutliveEarlyEnds(t, engine) {
	const { app, stand, page } = await open(t, { engine, worker: handWritten, KnownEnd: true })
	// The session is trusted for an hour.
	await call(page, '/api/first')
	await stand.expire('proxy')
	const answer = await call(page, '/api/save', { method: 'POST', body: 'edit' })
	assert.equal(answer.status, 200)
	assert.equal(app.calls.filter(({ path }) => path === '/api/save').length, 1)
	await stand.expire('proxy')
	await until('the early end to be noticed', async () => (await call(page, '/api/poll')).status === 200)
	assert(await isMarked(page))
}

async function leadsToLogin(t, engine) {
	const networkFirst = `${cached}
self.addEventListener('fetch', (event) => {
	if (event.request.mode === 'navigate') event.respondWith(fetch('/index.html').catch(() => caches.match('/')))
})`
	const preloads = `${cached}
self.addEventListener('activate', (event) => event.waitUntil(registration.navigationPreload?.enable()))
self.addEventListener('fetch', (event) => {
	if (event.request.mode === 'navigate') event.respondWith((async () => (await event.preloadResponse) ?? fetch(event.request))())
})`
	const visits = (page) => page.reload().catch(() => {})
	for (const [what, worker, use] of [
		['an app from its cache', answersAll, visits],
		['a shell that asks the network first', networkFirst, visits],
		['a worker that preloads its pages', preloads, visits],
		['a worker without a listener', '', visits],
		['an app that only posts', answersAll, (page) => begin(page, '/api/a', { method: 'POST', body: 'edit' })],
	]) {
		const { stand, page } = await open(t, { engine, worker })
		await stand.expire('both')
		await use(page)
		await logInAndBack(page, stand)
		assert.equal(await stand.logins(), 2, what)
		assert.equal((await call(page, '/api/a')).status, 200, what)
	}
}

async function socketsLead(t, engine) {
	const { app, stand, page } = await open(t, { engine, worker: answersAll })
	const connects = () =>
		page.evaluate(
			() =>
				new Promise((resolve) => {
					const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/api/socket`)
					socket.onopen = () => resolve(true)
					socket.onerror = () => resolve(false)
				}),
		)
	assert(await connects())
	await stand.expire('both')
	assert(!(await connects()))
	await page.reload()
	await logInAndBack(page, stand)
	assert(await connects())
	assert.equal(app.sockets, 2)
}

// loadAnewIfLeft loads a page anew that Firefox has left with a worker that was replaced
// while the page was loading: that one answers nothing any more, and its page goes without.
async function loadAnewIfLeft(page) {
	await page.waitForFunction(async () => {
		const { active } = await navigator.serviceWorker.getRegistration()
		const { port1, port2 } = new MessageChannel()
		active.postMessage({ type: 'REAUTH_IN_CHARGE' }, [port2])
		return new Promise((resolve) => {
			port1.onmessage = ({ data }) => resolve(data)
			active.onstatechange = () => resolve(false)
		})
	})
	const isLeft = await page.evaluate(async () => {
		const { active } = await navigator.serviceWorker.getRegistration()
		return navigator.serviceWorker.controller !== active
	})
	if (isLeft) await page.reload()
}

async function offAndOn(t, engine) {
	const worker = `${answersAll}
self.addEventListener('install', () => skipWaiting())
self.addEventListener('activate', (event) => event.waitUntil(clients.claim()))
`
	for (const [off, on] of [
		[{ Plugin: false }, { Plugin: true }],
		[{ Options: { serviceWorker: false } }, { Options: { serviceWorker: true } }],
	]) {
		const { stand, page } = await open(t, { engine, worker })
		await stand.configure(off)
		// The app's own worker takes the place of the one with the script.
		await page.evaluate(async () => {
			const registration = await navigator.serviceWorker.getRegistration()
			await registration.update()
			const next = registration.installing ?? registration.waiting ?? registration.active
			while (next.state !== 'activated') {
				await new Promise((resolve) => next.addEventListener('statechange', resolve, { once: true }))
			}
		})
		await page.goto(`${stand.app}/`)
		await atApp(page)
		await uncovered(page)
		await stand.configure(on)
		await stand.expire('both')
		await page.goto(`${stand.app}/`)
		await logInAndBack(page, stand)
		// A recovery script that has come late makes way once the app asks for something. If it
		// sends the tab on instead, that ends this.
		const use = () => setInterval(() => fetch('/api/poll').catch(() => {}), 1000)
		await page.evaluate(use).catch(() => {})
		if (engine === 'firefox') await loadAnewIfLeft(page)
		await covered(page)
		assert.equal(await stand.logins(), 2)
	}
}

async function silenceMayBeForbidden(t, engine) {
	const policy = (app) => {
		app.workerHeaders = { ...app.workerHeaders, 'Content-Security-Policy': "default-src 'self'" }
	}
	for (const [prepare, behaviour] of [
		[policy, {}],
		[undefined, { ResourcePolicy: 'same-origin' }],
	]) {
		const { stand, page } = await open(t, { engine, worker: answersAll, prepare })
		await stand.behave(behaviour)
		for (const session of ['proxy', 'both']) {
			await mark(page)
			await expire(page, stand, session)
			await begin(page, '/api/a')
			if (session === 'both') await logInAndBack(page, stand)
			else {
				await until('the trip', async () => !(await isMarked(page).catch(() => true)))
				await atApp(page)
			}
			assert.equal((await call(page, '/api/a')).status, 200)
		}
		assert.equal(await stand.logins(), 2)
	}
}

// Where the tab is, which the auth server never learns, and may forget to come back to.
async function placeStays(t, engine) {
	for (const behaviour of [{}, { DropQuery: true }]) {
		const { stand, page } = await open(t, { engine, worker: answersAll })
		await stand.behave(behaviour)
		const place = `${stand.app}/${encodeURIComponent('長'.repeat(700))}?secret=1;2&b=%2F#part`
		await page.goto(place)
		await atApp(page)
		await expire(page, stand, 'both')
		await begin(page, '/api/a')
		await logInAndBack(page, stand)
		assert.equal(await placeOf(page), place)
		assert.equal((await call(page, '/api/a')).status, 200)
		for (const { RequestPath } of await stand.requests()) {
			if (/outpost|_reauth|authorize/.test(RequestPath))
				assert(!/secret/.test(decodeURIComponent(RequestPath)), RequestPath)
		}
	}
}

async function nobodyIsHammered(t, engine) {
	const { stand, page, ...visit } = await open(t, { engine, worker: handWritten })
	await expire(page, stand, 'both')
	await begin(page, '/api/poll')
	await cancel({ stand, page, ...visit })
	const asked = async () =>
		(await stand.requests()).filter(({ RequestPath }) => !/^\/(if|application|outpost)/.test(RequestPath)).length
	const before = await asked()
	for (let i = 0; i < 20; i++) {
		assert.equal((await call(page, '/api/poll')).error, 'TypeError')
		assert.equal((await call(page, '/api/poll', { method: 'POST', body: 'edit' })).error, 'TypeError')
	}
	const more = (await asked()) - before
	assert(more < 6, `${more} requests for 40 calls`)
	assert((await refused(stand, '/api/poll')) <= 2)
}

async function mostEndsAreNeverMet(t, engine) {
	const TokenValidity = 8
	const { stand, page } = await open(t, { engine, worker: handWritten, KnownEnd: true, TokenValidity })
	await distrust(page, stand)
	const statuses = await page.evaluate(
		async (length) => {
			const statuses = {}
			const end = Date.now() + length
			while (Date.now() < end) {
				for (const method of ['GET', 'POST']) {
					const { status } = await fetch('/api/use', { method })
					statuses[status] = (statuses[status] ?? 0) + 1
				}
				// As an app is used, and not as fast as can be.
				await new Promise((resolve) => setTimeout(resolve, 200))
			}
			return statuses
		},
		10 * TokenValidity * 1000,
	)
	assert.deepEqual(Object.keys(statuses), ['200'])
	const requests = await stand.requests()
	const refusals = requests.filter(({ DownstreamStatus }) => DownstreamStatus === 401).length
	t.diagnostic(`${refusals} refusals in ten session lengths with ${statuses[200]} calls`)
	assert.equal(refusals, 0)
	assert(await isMarked(page))
	assert.equal(await stand.logins(), 1)
}

export const ends = {
	"an edit in the app's own queue is kept until it is delivered": queueKeeps,
	'no refusal gets into the caches of an app': cachesStayClean,
	'a good copy is not lost to a refusal': copiesStay,
	'pictures, scripts, forms, edits and streams are served after the renewal': silentlyServes,
	'an end that comes early costs no edit, and is noticed': editsOutliveEarlyEnds,
	'every visit leads to the login when both sessions have ended': leadsToLogin,
	'an app that speaks over a WebSocket alone is led to the login by a reload': socketsLead,
	'the plugin or its script switched off and on again leads to the login': offAndOn,
	'where silence is forbidden, one trip takes its place': silenceMayBeForbidden,
	'the place to come back to never leaves the browser': placeStays,
	'nobody is hammered while logged out': nobodyIsHammered,
	'most ends are never met': mostEndsAreNeverMet,
}

// meetEnds tests them in an engine.
export function meetEnds(engine) {
	for (const [what, keep] of Object.entries(ends)) test(`${engine}, apps: ${what}`, (t) => keep(t, engine))
}

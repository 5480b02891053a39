// Any app: a small one of our own, with workers of every kind.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { logIn } from './actual.js'
import { atLogin, covered, isMarked, mark, newTab } from './engines.js'
import {
	atApp,
	begin,
	call,
	enter,
	enterCovered,
	expire,
	handWritten,
	logInAndBack,
	Pwa,
	refused,
	stopWorkers,
	workbox,
} from './pwa.js'

// renewals resolves to how many silent renewals Traefik has seen begin.
const renewals = async (stand) =>
	(await stand.requests()).filter((request) => request.RequestPath === '/_reauth' && request.DownstreamStatus === 302)
		.length

test('a hand-written worker: the refused call is replayed with its body', async (t) => {
	const { app, stand, page } = await enterCovered(t, handWritten)
	await page.locator('#typed').fill('typed')
	await stand.expire('proxy', '/api/save')
	const answer = await call(page, '/api/save', { method: 'POST', body: 'x'.repeat(1000), headers: { 'X-App': 'yes' } })
	assert.deepEqual(JSON.parse(answer.body), { method: 'POST', path: '/api/save', length: 1000 })
	assert.equal(await refused(stand, '/api/save'), 1)
	assert.equal(app.calls.length, 1)
	assert.equal(app.calls[0].headers['x-app'], 'yes')
	assert.equal(app.calls[0].body.toString(), 'x'.repeat(1000))
	assert.equal(await page.$eval('#typed', (input) => input.value), 'typed')
	assert(await isMarked(page))
	assert.deepEqual(page.visited, [])
})

test('with an errors middleware before the plugin a refusal is known all the same, and a 401 of the app stays its own', async (t) => {
	const { app, stand, page } = await enterCovered(t, handWritten, { Replaces: true })
	const edit = async (path) => {
		app.calls.length = 0
		const { status, body } = await call(page, path, { method: 'POST', body: 'edit' })
		assert.deepEqual(
			app.calls.map((call) => `${call.path} ${call.body}`),
			[`${path} edit`],
		)
		return [status, body.includes('<title>PWA</title>')]
	}
	const own = [401, true]
	assert.deepEqual(await edit('/api/unauthorized'), own)
	await stand.expire('proxy')
	assert.deepEqual(await edit('/api/save'), [200, false])
	assert.equal(await refused(stand, '/api/save'), 1)
	assert.equal(await renewals(stand), 1)
	assert.deepEqual(await edit('/api/unauthorized'), own)
	assert.equal(await renewals(stand), 1)
	assert(await isMarked(page))
	assert.equal(await stand.logins(), 1)
	await stand.expire('both')
	await begin(page, '/api/save', { method: 'POST', body: 'edit' })
	await logInAndBack(page, stand)
	assert.deepEqual(await edit('/api/save'), [200, false])
})

test('a large upload that meets an expired session arrives whole', async (t) => {
	const { app, stand, page } = await enterCovered(t, handWritten)
	await expire(page, stand, 'proxy')
	const size = 64 * 1024 * 1024
	const answer = await page.evaluate(async (size) => {
		const body = new Uint8Array(size).map((_, i) => i % 251)
		const response = await fetch('/api/upload', { method: 'PUT', body })
		return response.json()
	}, size)
	assert.equal(answer.length, size)
	assert.equal(await refused(stand, '/api/upload'), 0)
	assert(app.calls[0].body.every((byte, i) => byte === i % 251))
})

// How many tabs share a renewal, with how many edits each: make soak has 200 of them, and
// somewhere below 4,000 requests at once Chromium lets fail what is more.
const TABS = Number(process.env.TABS ?? 5)
const EDITS = 5

test('calls of all tabs that fail at the same time share one renewal', async (t) => {
	const { app, stand, page } = await enterCovered(t, handWritten)
	const tabs = [page]
	while (tabs.length < TABS) {
		const tab = await newTab(page)
		await tab.goto(`${stand.app}/`)
		await atApp(tab)
		await mark(tab)
		tabs.push(tab)
	}
	await stand.expire('proxy')
	const many = (tab) =>
		tab.evaluate(
			(count) =>
				Promise.all(
					Array.from(
						{ length: count },
						async (_, i) => (await fetch(`/api/${i}`, { method: 'POST', body: `${i}` })).status,
					),
				),
			EDITS,
		)
	const statuses = await Promise.all(tabs.map(many))
	assert.deepEqual(statuses.flat(), Array(EDITS * TABS).fill(200))
	assert.equal(app.calls.length, EDITS * TABS)
	assert.equal(await renewals(stand), 1)
	for (const tab of tabs) assert(await isMarked(tab))
	assert.equal(await stand.logins(), 1)
})

test('a renewal in vain is made once more before anybody is sent to the login', async (t) => {
	const { app, stand, page } = await enterCovered(t, handWritten)
	// The app is asked once the session is good.
	app.before['/_reauth'] = async () => {
		delete app.before['/_reauth']
		await stand.expire('proxy')
	}
	await stand.expire('proxy', '/api/save')
	const answer = await call(page, '/api/save', { method: 'POST', body: 'body' })
	assert.deepEqual(JSON.parse(answer.body), { method: 'POST', path: '/api/save', length: 4 })
	assert.equal(await refused(stand, '/api/save'), 1)
	assert.equal(await renewals(stand), 2)
	assert(await isMarked(page))
	assert.deepEqual(page.visited, [])
})

test('what a request means is kept over the replay', async (t) => {
	const { app, stand, page } = await enterCovered(t, handWritten)
	const inExpired = async (path, options) => {
		await expire(page, stand, 'proxy')
		return call(page, path, options)
	}
	assert.deepEqual(await inExpired('/api/range', { headers: { Range: 'bytes=2-4' } }), {
		status: 206,
		type: 'basic',
		body: 'cde',
	})
	assert.deepEqual(await inExpired('/api/redirect', { redirect: 'manual' }), {
		status: 0,
		type: 'opaqueredirect',
		body: '',
	})
	assert.equal(JSON.parse((await inExpired('/api/redirect')).body).path, '/api/landed')
	assert.deepEqual(await inExpired('/api/redirect', { redirect: 'error' }), { error: 'TypeError' })
	assert.equal((await inExpired('/api/alive', { method: 'POST', body: 'bye', keepalive: true })).status, 200)
	assert.equal(app.calls.at(-1).body.toString(), 'bye')
	// Without cookies no session is ever good, and the caller learns that.
	assert.equal((await call(page, '/api/bare', { credentials: 'omit' })).status, 401)

	await expire(page, stand, 'proxy')
	const events = await page.evaluate(
		() =>
			new Promise((resolve, reject) => {
				const source = new EventSource('/api/stream')
				source.onmessage = ({ data }) => resolve(data)
				source.onerror = () => reject(new Error('no stream'))
			}),
	)
	assert.equal(events, 'one')
	const aborted = await page.evaluate(async () => {
		const controller = new AbortController()
		const answer = fetch('/api/never', { signal: controller.signal })
		controller.abort()
		return answer.catch((error) => error.name)
	})
	assert.equal(aborted, 'AbortError')
	assert(await isMarked(page))
})

test('one trip to the login and back to the place that pushState made', async (t) => {
	const { stand, page } = await enterCovered(t, handWritten)
	const place = `${stand.app}/deep/er?x=1&y=a%2Fb#part`
	await page.evaluate((place) => history.pushState(null, '', place), place)
	// It is the tab that goes, though a frame in it has the focus.
	await page.evaluate(async () => {
		const frame = document.createElement('iframe')
		frame.src = '/frame'
		document.body.append(frame)
		await new Promise((resolve) => frame.addEventListener('load', resolve))
		frame.contentDocument.querySelector('#typed').focus()
	})
	await expire(page, stand, 'both')
	await begin(page, '/api/a')
	await logInAndBack(page, stand)
	assert.equal(page.url(), place)
	assert.equal((await call(page, '/api/a')).status, 200)
	assert.equal(await stand.logins(), 2)
})

test('an app that hides where its tabs are is opened where the tab was loaded', async (t) => {
	const app = await Pwa.start(t, { worker: handWritten })
	app.headers = { 'Referrer-Policy': 'no-referrer' }
	const { stand, page } = await enter(t, app)
	await covered(page)
	const place = `${stand.app}/deep/er?x=1&y=a%2Fb#part`
	await page.goto(place)
	await atApp(page)
	await page.evaluate(() => history.pushState(null, '', '/hidden'))
	await expire(page, stand, 'both')
	await begin(page, '/api/a')
	await logInAndBack(page, stand)
	assert.equal(page.url(), place)
})

test('once the session was good again, renewed or not, the next trip need not wait', async (t) => {
	const { stand, page } = await enterCovered(t, handWritten)
	const makeTrip = async () => {
		await expire(page, stand, 'both')
		await begin(page, '/api/a')
		await logInAndBack(page, stand)
	}
	await makeTrip()
	assert.equal((await call(page, '/api/a')).status, 200)
	await makeTrip()
	await expire(page, stand, 'proxy')
	assert.equal((await call(page, '/api/b')).status, 200)
	await makeTrip()
	assert.equal(await stand.logins(), 4)
})

test('a login that is cancelled is not forced again, by any tab and over a restart of the worker', async (t) => {
	const { stand, page } = await enterCovered(t, handWritten)
	await expire(page, stand, 'both')
	await begin(page, '/api/a')
	await atLogin(page)
	await page.goBack()
	await atApp(page)
	await mark(page)
	const fails = async (tab) => assert.deepEqual(await call(tab, '/api/a'), { error: 'TypeError' })
	await fails(page)
	const other = await newTab(page)
	await other.goto(`${stand.app}/`)
	await mark(other)
	await fails(other)
	await stopWorkers(page)
	await fails(other)
	assert(await isMarked(other))
	assert(await isMarked(page))
	assert.equal(await stand.logins(), 1)
})

test('a Workbox worker with runtime caching: what it caches is renewed, too', async (t) => {
	const files = await workbox('sw', 'core', 'routing', 'strategies', 'precaching')
	const worker = `
importScripts('/workbox/workbox-sw.js')
workbox.setConfig({ debug: false, modulePathPrefix: '/workbox/' })
const { precaching, routing, strategies } = workbox
precaching.precacheAndRoute([{ url: '/', revision: '1' }, { url: '/page.js', revision: '1' }])
routing.registerRoute(new routing.NavigationRoute(precaching.createHandlerBoundToURL('/')))
routing.registerRoute(({ url }) => url.pathname === '/api/cached', new strategies.NetworkFirst({ cacheName: 'runtime' }))
`
	const app = await Pwa.start(t, { worker, files })
	const { stand, page } = await enter(t, app)
	await covered(page)
	await mark(page)
	for (const path of ['/api/cached', '/api/left']) {
		await expire(page, stand, 'proxy')
		assert.equal((await call(page, path)).status, 200)
	}
	await expire(page, stand, 'both')
	await begin(page, '/api/cached')
	await logInAndBack(page, stand)
	assert.equal((await call(page, '/api/cached')).status, 200)
})

test('without a worker the app gets the 401, and a reload leads to the login', async (t) => {
	const app = await Pwa.start(t)
	const { stand, page } = await enter(t, app)
	await mark(page)
	await stand.expire('both')
	assert.equal((await call(page, '/api/a')).status, 401)
	assert(await isMarked(page))
	await page.reload()
	await atLogin(page)
})

for (const [what, worker, register] of [
	['throws when it is run', 'throw new Error("broken")', /ServiceWorker script evaluation failed/],
	[
		'fails to install',
		'addEventListener("install", (event) => event.waitUntil(Promise.reject(new Error("broken"))))',
		undefined,
	],
]) {
	test(`a worker that ${what} leaves the app as it was`, async (t) => {
		const app = await Pwa.start(t, { worker })
		const { stand, page } = await enter(t, app)
		if (register) {
			await page.waitForFunction(() => window.refusal)
			assert.match(await page.evaluate(() => window.refusal), register)
		} else {
			await page.waitForFunction(async () => !(await navigator.serviceWorker.getRegistration()))
		}
		assert.equal((await call(page, '/api/a')).status, 200)
		await stand.expire('both')
		assert.equal((await call(page, '/api/a')).status, 401)
		assert.equal(await page.evaluate(() => navigator.serviceWorker.controller), null)
		await page.reload()
		await atLogin(page)
	})
}

test('a worker whose listener throws is covered like any other', async (t) => {
	const { stand, page } = await enterCovered(t, 'addEventListener("fetch", () => { throw new Error("broken") })')
	await stand.expire('proxy', '/api/a')
	assert.equal((await call(page, '/api/a', { method: 'POST' })).status, 200)
	assert.equal(await refused(stand, '/api/a'), 1)
})

// refreshPaths resolves to the refresh paths that were asked for.
const refreshPaths = async (stand) => [
	...new Set(
		(await stand.requests())
			.map(({ RequestPath }) => RequestPath.split('?')[0])
			.filter((path) => path.endsWith('/_reauth')),
	),
]

test('an app under a path of its own has its own refresh path there, and its home page', async (t) => {
	const app = await Pwa.start(t, { files: { '/inner/sw.js': "addEventListener('fetch', () => {})" } })
	const { stand, page } = await enter(t, app, { Prefix: '/inner/' })
	const place = `${stand.app}/inner/place?a=1&b=%2F#here`
	await page.goto(place)
	await page.evaluate(async () => Boolean(await navigator.serviceWorker.register('/inner/sw.js')))
	await covered(page)
	await mark(page)
	await expire(page, stand, 'proxy')
	const { status } = await call(page, '/inner/save', { method: 'POST', body: 'edit' })
	assert.equal(status, 200)
	assert(await isMarked(page))
	assert.equal(await stand.logins(), 1)

	await expire(page, stand, 'both')
	await begin(page, '/inner/save', { method: 'POST', body: 'edit' })
	await logInAndBack(page, stand)
	assert.equal(page.url(), place)
	assert.deepEqual(await refreshPaths(stand), ['/inner/_reauth'])

	const fresh = await newTab(page)
	await fresh.goto(`${stand.app}/inner/_reauth`)
	await atApp(fresh)
	assert.equal(fresh.url(), `${stand.app}/inner/`)
	assert.equal(await stand.logins(), 2)
})

test('one worker above two apps of a host renews for both', async (t) => {
	const app = await Pwa.start(t, { worker: "addEventListener('fetch', () => {})" })
	const { stand, page } = await enter(t, app, { Prefix: '/inner/' })
	await covered(page)
	const inner = await newTab(page)
	await inner.goto(`${stand.app}/inner/`)
	await covered(inner)
	for (const [tab, path] of [
		[page, '/api/save'],
		[inner, '/inner/save'],
	]) {
		await mark(tab)
		await stand.expire('proxy', path)
		const { status } = await call(tab, path, { method: 'POST', body: 'edit' })
		assert.equal(status, 200)
		assert.equal(await refused(stand, path), 1)
		assert(await isMarked(tab))
	}
	assert.equal(await stand.logins(), 1)
})

test('a module worker cannot be had behind a login proxy, with the plugin or without', async (t) => {
	const app = await Pwa.start(t, { worker: handWritten, type: 'module' })
	const { stand, page } = await enter(t, app)
	await page.waitForFunction(() => window.refusal)
	assert.equal((await call(page, '/api/a')).status, 200)
	assert.equal(await page.evaluate(async () => (await navigator.serviceWorker.getRegistration()) ?? null), null)
	await stand.expire('both')
	await page.reload()
	await atLogin(page)
})

test('an app with onfetch and a strict page keeps both', async (t) => {
	const worker =
		'self.onfetch = (event) => { if (event.request.url.endsWith("/api/mine")) event.respondWith(new Response("mine")) }'
	const app = await Pwa.start(t, { worker })
	app.headers = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' }
	app.workerHeaders = {
		...app.workerHeaders,
		'Cross-Origin-Embedder-Policy': 'require-corp',
		ETag: '"1"',
		'Cache-Control': 'max-age=3600',
	}
	const { stand, page } = await enter(t, app)
	await covered(page)
	assert(await page.evaluate(() => crossOriginIsolated))
	await stand.expire('proxy', '/api/a')
	assert.equal((await call(page, '/api/mine')).body, 'mine')
	assert.equal((await call(page, '/api/a', { method: 'POST' })).status, 200)
	assert.equal(await refused(stand, '/api/a'), 1)
	assert(await page.evaluate(() => crossOriginIsolated))
})

test('the refresh script leaves nothing behind but its listeners', async (t) => {
	const app = await Pwa.start(t, {
		worker: 'addEventListener("message", (event) => event.source.postMessage(Object.getOwnPropertyNames(self).sort()))',
	})
	const names = async ({ page }) => {
		await page.waitForFunction(() => navigator.serviceWorker.controller ?? navigator.serviceWorker.ready)
		return page.evaluate(async () => {
			const { active } = await navigator.serviceWorker.ready
			await fetch('/api/a')
			return new Promise((resolve) => {
				navigator.serviceWorker.onmessage = ({ data }) => resolve(data)
				active.postMessage('')
			})
		})
	}
	const covering = await enter(t, app)
	await covered(covering.page)
	assert.deepEqual(await names(covering), await names(await enter(t, app, { Plugin: false })))
})

for (const session of ['good', 'proxy', 'both']) {
	test(`an installation from before the plugin heals at its next load, expired: ${session}`, async (t) => {
		const app = await Pwa.start(t, { worker: handWritten })
		const { stand, page } = await enter(t, app, { Plugin: false })
		await page.evaluate(() => navigator.serviceWorker.ready)
		await stand.configure({ Plugin: true })
		// With the browser's request for the worker's script. A session that ends
		// before may be renewed by some other request of the browser's own.
		if (session !== 'good') await stand.expire(session, '/sw.js')
		await page.goto(`${stand.app}/here?a=b#c`)
		if (session === 'both') {
			await atLogin(page)
			await logIn(page, stand)
		}
		await covered(page)
		assert.equal(page.url(), `${stand.app}/here?a=b#c`)
		assert.equal((await call(page, '/api/a')).status, 200)
		assert.equal(await stand.logins(), session === 'both' ? 2 : 1)
		const visits = (await stand.requests()).filter(({ RequestPath }) => /^\/_reauth($|\?login)/.test(RequestPath))
		assert.equal(visits.length > 0, session !== 'good')
		// Where it took a trip, that is over.
		await expire(page, stand, 'both')
		await begin(page, '/api/a')
		await atLogin(page)
	})
}

test('an update that is looked for with the session expired renews it, and leaves the worker in charge', async (t) => {
	const { app, stand, page } = await enterCovered(t, handWritten)
	const update = () =>
		page.evaluate(async () => {
			const registration = await navigator.serviceWorker.getRegistration()
			const found = new Promise((resolve) => {
				registration.addEventListener('updatefound', () => resolve(registration.installing), { once: true })
			})
			const { active } = registration
			// It rejects where the new worker fails to install at once.
			registration.update().catch(() => {})
			const next = await found
			while (next.state === 'installing') {
				await new Promise((resolve) => next.addEventListener('statechange', resolve, { once: true }))
			}
			return [next.state, registration.active === active]
		})
	await stand.expire('proxy')
	assert.deepEqual(await update(), ['redundant', true])
	assert.equal(await renewals(stand), 1)
	assert.equal((await call(page, '/api/a')).status, 200)
	assert.equal(await refused(stand, '/api/a'), 0)
	app.worker += '// new'
	assert.deepEqual(await update(), ['installed', true])
	// Chromium lets no worker take over while the one in charge has work to do.
	await stopWorkers(page)
	assert.equal((await call(page, '/api/a')).status, 200)
	const waits = () => navigator.serviceWorker.getRegistration().then(({ waiting }) => waiting?.state)
	assert.equal(await page.evaluate(waits), 'installed')
	assert(await isMarked(page))
	assert.equal(await stand.logins(), 1)
})

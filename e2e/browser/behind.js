// What is promised behind oauth2-proxy, the real one, in whatever way Traefik asks it
// (see ../oidc). The plugin's only option is its name.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { logIn } from './actual.js'
import { until } from './common.js'
import { atLogin, covered, isMarked, mark, newTab, placeOf } from './engines.js'
import { comesBack, replays } from './promises.js'
import { atApp, begin, call, enterCovered, expire, handWritten } from './pwa.js'

const chains = ['root', 'auth', 'errors', 'rewrite']
const Options = { provider: 'oauth2-proxy' }
const settings = { OAuth2Proxy: 'root', Options }

// What scripts say that they accept.
const accepts = {
	anything: {},
	JSON: { Accept: 'application/json, text/plain, */*' },
	'what XMLHttpRequest does': { 'X-Requested-With': 'XMLHttpRequest' },
	'a page': { Accept: 'text/html' },
}

// enter enters an app with a worker behind oauth2-proxy, and resolves once the page is
// covered. Without an errors middleware nobody gets in by way of /oauth2/auth.
const enter = (t, engine) => enterCovered(t, handWritten, { engine, ...settings })

async function renews(t, engine) {
	const { app, stand, page } = await enter(t, engine)
	for (const OAuth2Proxy of chains) {
		await stand.configure({ OAuth2Proxy })
		for (const [what, accept] of Object.entries(accepts)) {
			for (const method of ['POST', 'GET']) {
				await expire(page, stand, 'proxy')
				app.calls.length = 0
				const headers = { 'Content-Type': 'application/json', ...accept }
				const body = method === 'POST' ? `"${what}"` : undefined
				const { status } = await call(page, '/api/edit', { method, headers, body })
				assert.equal(status, 200, `${OAuth2Proxy}, ${what}, ${method}`)
				assert.deepEqual(
					app.calls.map((call) => [call.method, call.body.toString()]),
					[[method, body ?? '']],
				)
			}
		}
	}
	assert(await isMarked(page))
	assert.equal(await stand.logins(), 1)
}

async function comesBackToApp(t, engine) {
	const { stand, page } = await enter(t, engine)
	const place = `${stand.app}/place?a=1&b=%2F`
	const fragment = (await page.evaluate(() => 'navigation' in window)) ? '#here' : ''
	let logins = 1
	for (const OAuth2Proxy of chains) {
		await stand.configure({ OAuth2Proxy })
		await page.evaluate((url) => history.pushState(history.state, '', url), `${place}#here`)
		await expire(page, stand, 'both')
		await begin(page, '/api/edit', { method: 'POST', body: OAuth2Proxy })
		await atLogin(page)
		await logIn(page, stand)
		await atApp(page)
		assert.equal(await placeOf(page), place + fragment, OAuth2Proxy)
		assert.equal(await stand.logins(), ++logins)
		await covered(page)
	}
}

// How a tab gets to the login: sent by the refresh script, or by a visit that the app's
// worker has to do with, or not.
const departures = {
	sent: {
		worker: handWritten,
		leave: (page) => begin(page, '/api/edit', { method: 'POST', body: 'edit' }),
	},
	'past the worker': { worker: `addEventListener('fetch', () => {})` },
	'through the worker': { worker: `addEventListener('fetch', (event) => event.respondWith(fetch(event.request)))` },
	preloaded: {
		worker: `
			addEventListener('activate', (event) => event.waitUntil(registration.navigationPreload.enable()))
			addEventListener('fetch', (event) => {
				if (event.request.mode !== 'navigate') return
				event.respondWith(event.preloadResponse.then((response) => response ?? fetch(event.request)))
			})`,
	},
}

// Every redirect to the login brings a cookie, of which oauth2-proxy keeps one: a renewal
// in another tab would end the login.
const waits = (departure) => async (t, engine) => {
	const { worker, leave = (page, stand) => page.goto(`${stand.app}/place`) } = departures[departure]
	const { stand, page } = await enterCovered(t, worker, { engine, ...settings })
	const other = await newTab(page)
	await other.goto(stand.app)
	await atApp(other)
	await mark(other)
	await expire(other, stand, 'both')
	await page.bringToFront()
	await leave(page, stand)
	await atLogin(page)
	for (const method of ['POST', 'GET']) {
		assert.deepEqual(await call(other, '/api/poll', { method }), { error: 'TypeError' })
	}
	await logIn(page, stand)
	await atApp(page)
	await until('the other tab is served', async () => (await call(other, '/api/poll')).status === 200)
	assert(await isMarked(other))
	assert.equal(await stand.logins(), 2)
	const callbacks = (await stand.requests()).filter(({ RequestPath }) => RequestPath.startsWith('/oauth2/callback?'))
	assert.deepEqual(
		callbacks.map(({ DownstreamStatus }) => DownstreamStatus),
		[302, 302],
	)
}

const actual = {
	'from the first visit on a refused sync is replayed and nothing is noticed': replays,
	'one login leads back to the same place with every edit': comesBack,
}
const apps = {
	'whatever a script accepts, its refused call is renewed and sent again, however Traefik asks': renews,
	'one login leads back to the exact place, however Traefik asks': comesBackToApp,
}
for (const departure of Object.keys(departures)) {
	apps[`renewals wait while a tab is at the login, ${departure}`] = waits(departure)
}

// hold tests these promises in an engine.
export function hold(engine) {
	for (const [what, keep] of Object.entries(apps)) {
		test(`${engine}, apps behind oauth2-proxy: ${what}`, (t) => keep(t, engine))
	}
	for (const [what, keep] of Object.entries(actual)) {
		test(`${engine}, 26.9.0 behind oauth2-proxy: ${what}`, (t) => keep(t, engine, '26.9.0', settings))
	}
}

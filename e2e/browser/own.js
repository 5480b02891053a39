// What an app without a service worker gets from the plugin's own, in every engine.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { logIn } from './actual.js'
import { until, untilAsked } from './common.js'
import { atLogin, covered, isMarked, launch, mark, newTab, placeOf } from './engines.js'
import { atApp, begin, call, expire, file, handWritten, logInAndBack, Pwa } from './pwa.js'
import { Stand } from './stand.js'

export const on = { ownServiceWorker: true }

// What the documents have people write into a page, or into the console.
const snippets = async () => {
	const text = await readFile(new URL('../../docs/apps.md', import.meta.url), 'utf8')
	const [unregister, listen] = text.match(/(?<=```js\n)[^`]*/g)
	return { listen, unregister }
}

// workersOf resolves to the scripts of the workers that there are for a page, by scope.
export const workersOf = (page) =>
	page.evaluate(async () => {
		const found = {}
		for (const { scope, installing, waiting, active } of await navigator.serviceWorker.getRegistrations()) {
			found[new URL(scope).pathname] = (installing ?? waiting ?? active).scriptURL.slice(location.origin.length)
		}
		return found
	})

// status resolves to how things stand, as the worker that controls the page tells it.
const status = (page) =>
	page.evaluate(
		() =>
			new Promise((resolve) => {
				const { port1, port2 } = new MessageChannel()
				port1.onmessage = ({ data }) => resolve(data)
				navigator.serviceWorker.controller.postMessage({ type: 'REAUTH_STATUS' }, [port2])
			}),
	)

// owned resolves once the plugin's own worker controls the page.
export async function owned(page) {
	await page.waitForFunction(() => navigator.serviceWorker.controller?.scriptURL.endsWith('/_reauth?reauth-worker'))
	assert.equal((await status(page)).own, true)
}

// visitFirst opens an app that has no worker with the option on, by a first visit to a
// place, logs in, and resolves once shown does and the page is covered.
export async function visitFirst(t, engine, settings, place, shown) {
	const stand = await Stand.start(t, { Plugin: true, Options: on, ...settings })
	const page = await launch(t, engine, stand.keyHash)
	await page.goto(stand.app + place)
	await atLogin(page)
	await logIn(page, stand)
	await shown(page)
	await owned(page)
	return { stand, page }
}

// visit is visitFirst with an app of our own.
export async function visit(t, engine, { place = '/', prepare, ...settings } = {}) {
	const app = await Pwa.start(t, {})
	await prepare?.(app)
	const { stand, page } = await visitFirst(t, engine, { Upstream: app.url, ...settings }, place, atApp)
	// An app asks for something at its start, which ends the trip to the login.
	assert.equal((await call(page, '/api/first')).status, 200)
	await mark(page)
	return { app, stand, page, engine }
}

// another opens another tab. WebKit's driver has one alone.
const another = (page, engine) => (engine === 'webkit' ? page : newTab(page))

const edit = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '"edit"' }

async function covers(t, engine) {
	const place = '/place?a=1&b=%2F#here'
	const { app, stand, page } = await visit(t, engine, { place })
	assert.equal(await placeOf(page), stand.app + place)
	assert.deepEqual(await workersOf(page), { '/': '/_reauth?reauth-worker' })
	await expire(page, stand, 'proxy')
	app.calls.length = 0
	assert.equal((await call(page, '/api/edit', edit)).status, 200)
	assert.equal((await call(page, '/api/read')).status, 200)
	assert.deepEqual(
		app.calls.map(({ method, path, body }) => `${method} ${path} ${body}`),
		['POST /api/edit "edit"', 'GET /api/read '],
	)
	assert(await isMarked(page))
	assert.equal(await stand.logins(), 1)
}

async function comesBack(t, engine) {
	const { stand, page } = await visit(t, engine)
	// A router of the app's goes on without a visit.
	await page.evaluate((url) => history.pushState(null, '', url), '/deep/place?a=1#here')
	const fragment = (await page.evaluate(() => 'navigation' in window)) ? '#here' : ''
	await expire(page, stand, 'both')
	await begin(page, '/api/edit', edit)
	await logInAndBack(page, stand)
	assert.equal(await placeOf(page), `${stand.app}/deep/place?a=1${fragment}`)
	await owned(page)
	// A visit with both sessions ended, in another tab.
	await stand.expire('both')
	const other = await another(page, engine)
	await other.goto(`${stand.app}/other?c=d#there`)
	await logInAndBack(other, stand)
	assert.equal(await placeOf(other), `${stand.app}/other?c=d#there`)
	await owned(other)
	// A reload with the proxy's session ended takes no login.
	await stand.expire('proxy')
	await other.reload()
	await atApp(other)
	assert.equal(await placeOf(other), `${stand.app}/other?c=d#there`)
	assert.equal(await stand.logins(), 3)
}

async function coversOpenTabs(t, engine) {
	const app = await Pwa.start(t, {})
	const stand = await Stand.start(t, { Upstream: app.url, Plugin: true })
	const page = await launch(t, engine, stand.keyHash)
	await page.goto(stand.app)
	await logInAndBack(page, stand)
	await mark(page)
	await stand.configure({ Options: on })
	await stand.expire('proxy')
	const other = await newTab(page)
	await other.goto(stand.app)
	await atApp(other)
	await owned(page)
	await expire(page, stand, 'proxy')
	assert.equal((await call(page, '/api/edit', edit)).status, 200)
	assert(await isMarked(page))
}

async function canBeCancelled(t, engine) {
	const { stand, page } = await visit(t, engine)
	await expire(page, stand, 'both')
	await begin(page, '/api/edit', edit)
	await atLogin(page)
	// Nobody is sent again at once, and who wants the app is.
	await page.goto(`${stand.app}/_reauth?status`)
	await page.waitForFunction(() => document.getElementById('trip')?.textContent.includes('again for'))
	await page.goto(`${stand.app}/again`)
	await logInAndBack(page, stand)
	assert.equal(await placeOf(page), `${stand.app}/again`)
}

async function makesWay(t, engine) {
	const { app, stand, page } = await visit(t, engine)
	app.worker = handWritten
	await page.goto(`${stand.app}/`)
	await covered(page)
	assert.deepEqual(await workersOf(page), { '/': '/sw.js' })
	// What was there is not registered again in its place.
	await stand.expire('both')
	const other = await another(page, engine)
	await other.goto(`${stand.app}/_reauth?rd=/`)
	await logInAndBack(other, stand)
	await covered(other)
	assert.deepEqual(await workersOf(other), { '/': '/sw.js' })
}

async function leavesNarrower(t, engine) {
	const { app, stand, page } = await visit(t, engine)
	app.files['/part/sw.js'] = "addEventListener('fetch', () => {})"
	await page.goto(`${stand.app}/part/`)
	await page.evaluate(() => navigator.serviceWorker.register('/part/sw.js'))
	await covered(page)
	assert.deepEqual(await workersOf(page), { '/': '/_reauth?reauth-worker', '/part/': '/part/sw.js' })
	for (const path of ['/part/a', '/a']) {
		await page.goto(stand.app + path)
		await expire(page, stand, 'proxy')
		assert.equal((await call(page, '/api/edit', edit)).status, 200)
	}
	assert.equal(await stand.logins(), 1)
}

// goes resolves once the page has no worker any more, and nothing else has changed.
async function goes(page, stand) {
	const isGone = async () => Object.keys(await workersOf(page)).length === 0
	await untilAsked('the worker is gone', isGone, async () => {
		await page.goto(`${stand.app}/`)
		await atApp(page)
		await mark(page)
	})
	assert(await isMarked(page))
	assert.equal((await call(page, '/api/a')).status, 200)
}

const goesAway = (Options) => async (t, engine) => {
	const { stand, page } = await visit(t, engine)
	await stand.configure({ Options })
	await goes(page, stand)
	await expire(page, stand, 'proxy')
	assert.equal((await call(page, '/api/a')).status, 401)
}

async function canBeTakenAway(t, engine) {
	const { stand, page } = await visit(t, engine)
	await stand.configure({ Plugin: false })
	const { unregister } = await snippets()
	await page.evaluate((unregister) => new Function(unregister)(), unregister)
	await goes(page, stand)
}

async function doesNoHarm(t, engine) {
	const { app, stand, page } = await visit(t, engine)
	await stand.configure({ Plugin: false })
	await page.goto(`${stand.app}/`)
	await atApp(page)
	app.calls.length = 0
	assert.equal((await call(page, '/api/edit', edit)).status, 200)
	assert.equal((await call(page, '/api/upload', { method: 'POST', body: 'x'.repeat(1000) })).status, 200)
	assert.equal(app.calls.length, 2)
	await stand.expire('both')
	await page.goto(`${stand.app}/`)
	await logInAndBack(page, stand)
	// With the plugin back, and the option off, it goes away after all.
	await stand.configure({ Plugin: true, Options: { ownServiceWorker: false } })
	await goes(page, stand)
}

async function keepsEvents(t, engine) {
	const { stand, page } = await visit(t, engine)
	await page.evaluate(() => {
		window.heard = 0
		window.ended = 0
		const source = new EventSource('/api/event')
		source.onmessage = () => window.heard++
		source.onerror = () => {
			if (source.readyState === EventSource.CLOSED) window.ended++
		}
	})
	const more = async () => {
		const before = await page.evaluate(() => window.heard)
		await page.waitForFunction((before) => window.heard > before + 1, {}, before)
	}
	await more()
	await expire(page, stand, 'proxy')
	await more()
	assert.equal(await page.evaluate(() => window.ended), 0)
	assert(await isMarked(page))
}

async function keepsUploads(t, engine) {
	const { app, stand, page } = await visit(t, engine)
	await expire(page, stand, 'proxy')
	app.calls.length = 0
	const sent = await page.evaluate(async () => {
		const form = new FormData()
		form.append('file', new File([new Uint8Array(6_000_000)], 'file.bin', { type: 'application/octet-stream' }))
		return (await fetch('/api/upload', { method: 'POST', body: form })).status
	})
	assert.equal(sent, 200)
	assert.equal(app.calls.length, 1)
	assert(app.calls[0].body.length > 6_000_000)
}

// TiddlyWiki is a real app. It asks its server for what is new each second.
async function keepsWiki(t, engine) {
	const isThere = (page) =>
		page.waitForFunction(() => Boolean(window.$tw?.syncer) && document.body.innerText.includes('The wiki has started.'))
	const { stand, page } = await visitFirst(t, engine, { Wiki: true }, '/#Start', isThere)
	const write = (title) =>
		page.evaluate((title) => {
			window.$tw.wiki.addTiddler({ title, text: 'text' })
		}, title)
	const saved = (title) =>
		until('the saved tiddler', async () => (await fetch(`${stand.upstream}/recipes/default/tiddlers/${title}`)).ok)
	await write('First')
	await saved('First')
	await mark(page)
	await expire(page, stand, 'proxy')
	await write('Second')
	await saved('Second')
	assert(await isMarked(page))
	assert.equal(await stand.logins(), 1)
	await expire(page, stand, 'both')
	// It asks by itself.
	await atLogin(page)
	await logIn(page, stand)
	await isThere(page)
	await write('Third')
	await saved('Third')
}

async function keepsHtmx(t, engine) {
	const prepare = async (app) => {
		app.files['/htmx.js'] = await file('htmx.org/dist/htmx.min.js')
		app.pages['/'] = `<!doctype html><title>htmx</title><meta name="viewport" content="width=device-width">
			<script src="/htmx.js"></script><input id="typed">
			<form hx-post="/api/edit" hx-target="#shown"><input name="a" value="b"><button>Save</button></form><p id="shown">`
	}
	const { app, stand, page } = await visit(t, engine, { prepare })
	await page.waitForFunction(() => Boolean(window.htmx))
	await expire(page, stand, 'proxy')
	app.calls.length = 0
	await page.evaluate(() => document.querySelector('button').click())
	await page.waitForFunction(() => document.getElementById('shown')?.textContent.includes('"length":3'))
	assert.deepEqual(
		app.calls.map(({ method, path, body }) => `${method} ${path} ${body}`),
		['POST /api/edit a=b'],
	)
	assert(await isMarked(page))
}

// An app that speaks over a WebSocket alone hears nothing of the session's end. What it
// has open stays open, what it opens is refused, and a reload leads to the login and back.
async function reloadsSockets(t, engine) {
	const { app, stand, page } = await visit(t, engine)
	const connect = () =>
		page.evaluate(
			() =>
				new Promise((resolve) => {
					const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/socket`)
					socket.onopen = () => resolve('open')
					socket.onclose = () => resolve('closed')
				}),
		)
	assert.equal(await connect(), 'open')
	await stand.expire('proxy')
	assert.equal(await connect(), 'closed')
	// The next call renews.
	assert.equal((await call(page, '/api/a', { method: 'POST' })).status, 200)
	assert.equal(await connect(), 'open')
	await stand.expire('both')
	assert.equal(await connect(), 'closed')
	await page.reload()
	await logInAndBack(page, stand)
	assert.equal(await connect(), 'open')
	assert.equal(app.sockets, 3)
}

async function tells(t, engine) {
	const { stand, page } = await visit(t, engine)
	const { listen } = await snippets()
	await page.evaluate((listen) => {
		window.told = []
		console.log = (...said) => window.told.push(said.join(' '))
		new Function(listen)()
	}, listen)
	await expire(page, stand, 'proxy')
	assert.equal((await call(page, '/api/edit', edit)).status, 200)
	await page.waitForFunction(() => window.told.length === 2)
	assert.deepEqual(await page.evaluate(() => window.told), ['refused /_reauth', 'renewed /_reauth'])
	const watching = await another(page, engine)
	await watching.goto(`${stand.app}/_reauth?status`)
	const shows = (id, text) =>
		watching.waitForFunction((id, text) => document.getElementById(id)?.textContent.includes(text), {}, id, text)
	await shows('session', 'is good')
	await shows('worker', 'the plugin’s own, of v')
	await shows('renewal', 'in silence')
	await shows('trip', 'no tab')
	await stand.expire('proxy')
	await watching.evaluate(() => document.getElementById('renew').click())
	await shows('done', 'The session is good.')
	await stand.expire('both')
	await watching.evaluate(() => document.getElementById('renew').click())
	await shows('done', 'It takes a login.')
	await shows('session', 'is not good')
	await shows('silence', 'met a login')
	await watching.evaluate(() => document.getElementById('login').click())
	await atLogin(watching)
	await logIn(watching, stand)
	await shows('session', 'is good')
	assert.equal(await placeOf(watching), `${stand.app}/_reauth?status`)
	assert.equal(await stand.logins(), 2)
}

const promises = {
	'from the first visit on a refused call is sent again and nothing is noticed': covers,
	'one login leads back to the exact place, from a call, a visit and a reload': comesBack,
	'a tab that was open before is covered once another was visited': coversOpenTabs,
	'a login that was cancelled is not forced again, and can be asked for': canBeCancelled,
	'it makes way for a worker that the app brings later': makesWay,
	"the app's worker for a part of it stays beside": leavesNarrower,
	'with the option off it goes away by itself': goesAway({ ownServiceWorker: false }),
	'with no worker wanted at all it goes away by itself': goesAway({ ownServiceWorker: false, serviceWorker: false }),
	'without the plugin it does no harm': doesNoHarm,
	'without the plugin it can be taken away by hand': canBeTakenAway,
	'an EventSource outlives the end of a session': keepsEvents,
	'an upload that meets the end of a session arrives whole, once': keepsUploads,
	'what htmx sends is sent again': keepsHtmx,
	'a wiki saves over the end of a session, and goes on after a login': keepsWiki,
	'an app that speaks over a WebSocket alone is led back by its next call, or by a reload': reloadsSockets,
	'what happens can be seen, on a channel and on a page': tells,
}

// own tests these promises in an engine.
export function own(engine) {
	for (const [what, keep] of Object.entries(promises)) {
		// It takes two tabs.
		if (engine === 'webkit' && keep === coversOpenTabs) continue
		test(`${engine}, apps without a worker: ${what}`, (t) => keep(t, engine))
	}
}

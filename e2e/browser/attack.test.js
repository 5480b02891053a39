// Pages of other origins that mean an app ill, in Chromium: one on another host of the
// site, whose requests bring the session's cookie, and one of another site. What may reach
// the app is what a link to it may as well. Not tried is what a page can tell from how long
// an answer takes: that needs no plugin.
//
// What a browser keeps to one origin is tried as far as there is something to try: a
// MessageChannel needs somebody who hands its port on, and no page of the plugin's listens.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { serve, until } from './common.js'
import { isMarked, newTab, placeOf } from './engines.js'
import { on, visit } from './own.js'
import { call, expire } from './pwa.js'

const strangers = { 'another host of the site': 'evil.example', 'another site': 'evil.other' }
const states = ['good', 'expired']

// One origin may read, as others may not. These are only like it.
const listed = 'listed.example'
const alike = ['xlisted.example', 'listed.examples', 'evil.listed.example', 'listed.example.localhost.evil', 'example']

// A script of the app's that no worker is made of.
const files = { '/part/sw.js': `addEventListener('fetch', () => {})` }

// Where there is something to be had, or to be set off.
const paths = [
	'/',
	'/api/secret',
	'/part/sw.js',
	'/_reauth',
	'/_reauth?probe',
	'/_reauth?login',
	'/_reauth?status',
	'/_reauth?reauth-worker',
	'/_reauth?rd=%2Fapi%2Fsecret',
	'/outpost.goauthentik.io/start?rd=%2F',
]

const pages = {
	'/': '<!doctype html><title>Evil</title>',
	// Where a tab comes by on its way back.
	'/back': '<!doctype html><script>history.back()</script>',
}

// An edit is relayed, and shows whether the worker still does what it is for.
const edit = { method: 'POST' }

// Stage is the app in a tab of its own, covered, and another tab for strangers.
class Stage {
	static async set(t) {
		const stage = new Stage()
		stage.at = await serve(t, pages)
		stage.elsewhere = await serve(t, pages)
		const Options = {
			...on,
			accessControlAllowOriginList: [new URL(stage.at(listed)).origin],
			accessControlAllowCredentials: true,
			accessControlAllowMethods: ['PUT'],
			accessControlAllowHeaders: ['X-Edit'],
		}
		const prepare = (app) => {
			app.files = files
		}
		const { app, stand, page } = await visit(t, 'chromium', { place: '/place?a=1#here', prepare, Options })
		page.visited = []
		const tab = await newTab(page)
		return Object.assign(stage, { app, stand, victim: page, tab })
	}

	// bring brings the session into a state, and forgets what was. No page of the app's is left
	// but the one, whose requests could change that.
	async bring(state) {
		await this.tab.evaluate(() => document.body.replaceChildren())
		for (const page of await this.victim.browser().pages()) {
			if (page !== this.victim && page !== this.tab) await page.close()
		}
		assert.equal((await call(this.victim, '/api/before', edit)).status, 200)
		if (state === 'expired') await expire(this.victim, this.stand, 'proxy')
		this.app.calls.length = 0
		this.answered = (await this.stand.requests()).length
	}

	// requests resolves to what Traefik has answered since.
	async requests() {
		return (await this.stand.requests()).slice(this.answered)
	}

	// authorized resolves to how many logins have begun since, in silence or not.
	async authorized() {
		const isAuthorize = ({ RequestPath }) => RequestPath.startsWith('/application/o/authorize/')
		return (await this.requests()).filter(isAuthorize).length
	}

	// calm asserts that nobody has noticed anything: the app's tab is as it was and works,
	// and nobody had to log in.
	async calm() {
		assert.equal((await call(this.victim, '/api/after', edit)).status, 200)
		assert(await isMarked(this.victim))
		assert.deepEqual(this.victim.visited, [])
		assert.equal(await this.stand.logins(), 1)
	}

	// open has the page in the strangers' tab open a URL in a window, and resolves to that.
	async open(url) {
		const opened = new Promise((resolve) => this.tab.once('popup', resolve))
		await this.tab.evaluate((url) => {
			window.opened = window.open(url)
		}, url)
		const popup = await opened
		popup.setDefaultTimeout(60_000)
		return popup
	}
}

// pry has a page try to read what is at URLs in every way that a page has, and resolves to
// what it has got to see, by way and URL.
const pry = (page, urls) =>
	page.evaluate(async (urls) => {
		const tell = ({ type, status, url, redirected, headers, body }, text) =>
			JSON.stringify({ type, status, url, redirected, headers: [...headers], body, text })
		const get = (options) => async (url) => {
			const response = await fetch(url, { credentials: 'include', ...options })
			return tell(response, await response.text())
		}
		const load = (make) => (url) =>
			new Promise((resolve) => {
				const element = make(url)
				const told = (event) =>
					resolve([event.type, element.naturalWidth, element.duration, readRules(element)].join(' '))
				for (const type of ['load', 'error', 'loadedmetadata']) element.addEventListener(type, told)
				document.head.append(element)
			})
		const readRules = ({ sheet }) => {
			try {
				return sheet?.cssRules.length
			} catch (error) {
				return error.name
			}
		}
		const element = (name, attributes) => (url) => {
			const made = document.createElement(name)
			for (const [key, value] of Object.entries(attributes)) made[key] = value === null ? url : value
			return made
		}
		const inWorker = (source) => (url) =>
			new Promise((resolve) => {
				const worker = new Worker(URL.createObjectURL(new Blob([source(url)])))
				worker.onmessage = ({ data }) => resolve(data)
			})
		const ways = {
			fetch: get({}),
			'fetch without cookies': get({ credentials: 'omit' }),
			'fetch that follows nothing': get({ redirect: 'manual' }),
			'fetch that cannot be read': get({ mode: 'no-cors' }),
			'edit that cannot be read': get({ mode: 'no-cors', method: 'POST', body: 'edit' }),
			'fetch with a preflight': get({ method: 'PUT', headers: { 'X-Edit': 'edit' } }),
			'fetch of a worker script': get({ headers: { 'Service-Worker': 'script' } }),
			'fetch with what the auth server sets': get({
				headers: { 'X-authentik-username': 'demo', 'X-authentik-jwt': 'a.b.c' },
			}),
			XMLHttpRequest: (url) =>
				new Promise((resolve) => {
					const request = new XMLHttpRequest()
					request.open('GET', url)
					request.withCredentials = true
					request.onloadend = ({ target }) =>
						resolve([target.status, target.responseURL, target.getAllResponseHeaders(), target.responseText].join(' '))
					request.send()
				}),
			EventSource: (url) =>
				new Promise((resolve) => {
					const source = new EventSource(url, { withCredentials: true })
					source.onopen =
						source.onmessage =
						source.onerror =
							({ type }) => {
								source.close()
								resolve(type)
							}
				}),
			script: load(element('script', { src: null })),
			module: load(element('script', { type: 'module', crossOrigin: 'use-credentials', src: null })),
			image: load(element('img', { src: null })),
			video: load(element('video', { src: null })),
			style: load(element('link', { href: null, rel: 'stylesheet' })),
			import: async (url) => Object.keys(await import(url)).join(' '),
			Worker: async (url) => String(new Worker(url)),
			SharedWorker: async (url) => String(new SharedWorker(url)),
			importScripts: inWorker(
				(url) => `
				const before = Object.getOwnPropertyNames(self).join()
				let outcome
				try { importScripts('${url}') } catch ({ name }) { outcome = name }
				postMessage(outcome ?? (before === Object.getOwnPropertyNames(self).join() ? 'nothing' : 'a script'))`,
			),
			'service worker': async (url) => (await navigator.serviceWorker.register(url)).scope,
		}
		performance.setResourceTimingBufferSize(10_000)
		const names = Object.getOwnPropertyNames(window).join()
		const errors = []
		window.onerror = (...told) => errors.push(told.slice(0, 4).join(' '))
		const seen = {}
		await Promise.all(
			Object.entries(ways).flatMap(([what, way]) =>
				urls.map(async (url) => {
					seen[`${what} ${url}`] = await way(url).catch(({ name }) => name)
				}),
			),
		)
		const timings = performance.getEntriesByType('resource').filter(({ name }) => urls.includes(name))
		return {
			seen,
			errors,
			changed: names !== Object.getOwnPropertyNames(window).join(),
			timed: timings.length,
			sizes: timings.filter((each) =>
				['responseStatus', 'transferSize', 'encodedBodySize', 'decodedBodySize', 'contentType', 'redirectCount'].some(
					(name) => each[name],
				),
			),
		}
	}, urls)

// What a page sees that sees nothing: which way has failed, or that there was something.
const opaque = JSON.stringify({
	type: 'opaque',
	status: 0,
	url: '',
	redirected: false,
	headers: [],
	body: null,
	text: '',
})
const nothing = [
	/^(TypeError|SecurityError|NetworkError|error|nothing)$/,
	/^0 {3}$/,
	/^(load|error) 0? (NaN)? (SecurityError)?$/,
]

async function readsNothing(stage, host, state) {
	const { app, stand, tab } = stage
	await tab.goto(stage.at(host))
	await stage.bring(state)
	const { seen, errors, changed, timed, sizes } = await pry(
		tab,
		paths.map((path) => stand.app + path),
	)
	for (const [what, outcome] of Object.entries(seen)) {
		assert(outcome === opaque || nothing.some((each) => each.test(outcome)), `${what}: ${outcome}`)
	}
	assert(Object.values(seen).includes(opaque))
	assert.deepEqual(
		errors.filter((error) => error !== 'Script error.  0 0'),
		[],
	)
	assert.equal(changed, false)
	assert(timed > 0)
	assert.deepEqual(sizes, [])
	const requests = await stage.requests()
	assert(!requests.some(({ RequestMethod }) => RequestMethod === 'PUT'))
	const preflights = requests.filter(({ RequestMethod }) => RequestMethod === 'OPTIONS')
	assert(preflights.length > paths.length)
	// The plugin's answer to one of a listed origin is a 204.
	for (const { RequestPath, DownstreamStatus } of preflights) {
		assert([302, 401, 405].includes(DownstreamStatus), `${RequestPath}: ${DownstreamStatus}`)
	}
	// Without cookies nothing gets in, and whether the session is good makes no difference.
	if (host === strangers['another site']) {
		assert.deepEqual(app.calls, [])
		stage.seen ??= seen
		assert.deepEqual(seen, stage.seen)
	}
	await stage.calm()
}

// The same by who may, so that it can be seen that there is something to read.
async function listedReads(stage) {
	const { stand, tab } = stage
	const secret = `${stand.app}/api/secret`
	const change = { ...edit, method: 'PUT', headers: { 'X-Edit': 'edit' }, credentials: 'include' }
	await stage.bring('good')
	await tab.goto(stage.at(listed))
	assert.match((await call(tab, secret, { credentials: 'include' })).body, /"path":"\/api\/secret"/)
	assert.equal((await call(tab, secret, change)).status, 200)
	const ask = () => call(tab, `${stand.app}/_reauth?probe`, { credentials: 'include' })
	assert.equal((await ask()).body, '{"active":true}')
	await stage.bring('expired')
	assert.equal((await call(tab, secret, { credentials: 'include' })).status, 401)
	assert.equal((await ask()).body, '{"active":false}')
	await stage.calm()
}

// What an origin that is only like a listed one gets to see, and one that is opaque.
async function onlyListedRead(stage, state) {
	const { stand, tab } = stage
	await stage.bring(state)
	const failed = { error: 'TypeError' }
	const tries = [
		{ credentials: 'include' },
		{ credentials: 'omit' },
		{ credentials: 'include', method: 'PUT', headers: { 'X-Edit': 'edit' } },
	]
	const readNothing = async (page, who) => {
		for (const path of ['/api/secret', '/_reauth', '/_reauth?probe']) {
			for (const options of tries) assert.deepEqual(await call(page, stand.app + path, options), failed, who)
		}
	}
	for (const url of [...alike.map((host) => stage.at(host)), stage.elsewhere(listed)]) {
		await tab.goto(url)
		await readNothing(tab, url)
	}
	await tab.goto(stage.at(listed))
	await tab.evaluate(() => {
		document.body.innerHTML = '<iframe sandbox="allow-scripts" srcdoc="opaque"></iframe>'
	})
	const opaqueFrame = await until('the frame', () => tab.frames().find((frame) => frame.parentFrame()))
	assert.equal(await opaqueFrame.evaluate(() => origin), 'null')
	await readNothing(opaqueFrame, 'null')
	await stage.calm()
}

// embed shows a URL in a page by a tag, and resolves to what the page sees of it.
const embed = (page, tag, url, sandbox) =>
	page.evaluate(
		(tag, url, sandbox) => {
			const element = document.createElement(tag)
			if (sandbox) element.sandbox = sandbox
			element[tag === 'object' ? 'data' : 'src'] = url
			const errorOf = (read) => {
				try {
					return read()
				} catch (error) {
					return error.name
				}
			}
			return new Promise((resolve) => {
				element.onload = element.onerror = () => {
					const { contentWindow, contentDocument } = element
					const sees =
						contentWindow && !contentDocument
							? [
									errorOf(() => contentWindow.location.href),
									errorOf(() => contentWindow.document.URL),
									errorOf(() => contentWindow.navigator.serviceWorker),
									contentWindow.length,
								]
							: []
					resolve({ document: contentDocument?.URL ?? null, sees })
				}
				document.body.replaceChildren(element)
			})
		},
		tag,
		url,
		sandbox,
	)

const unseen = ['SecurityError', 'SecurityError', 'SecurityError', 0]

// What may be in a frame: the page that offers a login in another tab, and what the app
// lets anybody have in one, which this app does.
const offers = ['/_reauth', '/_reauth#/api/chosen', '/_reauth?probe', '/_reauth?reauth-worker']
const ofApp = { '/': '/', '/_reauth?rd=%2Fapi%2Fchosen': '/api/chosen' }
const unframed = ['/_reauth?login', '/_reauth?status']

async function framesNothing(stage, host, state) {
	const { stand, tab } = stage
	await tab.goto(stage.at(host))
	const shown = () =>
		tab
			.frames()
			.map((frame) => frame.url())
			.filter((url) => url.startsWith(stand.app))
	for (const [tag, sandbox] of [['iframe'], ['iframe', 'allow-scripts allow-top-navigation'], ['object'], ['embed']]) {
		for (const path of [...offers, ...Object.keys(ofApp), ...unframed]) {
			const what = `${tag} ${path}`
			await stage.bring(state)
			const { document, sees } = await embed(tab, tag, stand.app + path, sandbox)
			// Where an object shows nothing there is an empty document.
			assert([null, 'about:blank'].includes(document), what)
			if (sees.length > 0) assert.deepEqual(sees, unseen, what)
			let expected = []
			if (offers.includes(path)) expected = [stand.app + path]
			// No cookie comes along from another site, nor into what is sandboxed.
			else if (path in ofApp && host === strangers['another host of the site']) expected = [stand.app + ofApp[path]]
			assert.deepEqual(shown(), expected, what)
			assert.equal(tab.url(), stage.at(host), what)
		}
	}
	await stage.calm()
}

// A person who clicks what a stranger has in a frame comes to the app's home page, by a
// window that the stranger has no hold of.
async function clickLeadsHome(stage, host) {
	const { app, stand, tab } = stage
	await tab.goto(stage.at(host))
	await stage.bring('expired')
	await embed(tab, 'iframe', `${stand.app}/_reauth#${stand.app}/api/chosen`)
	const frame = tab.frames().find((frame) => frame.url().startsWith(stand.app))
	const opened = new Promise((resolve) => tab.once('popup', resolve))
	await (await frame.waitForSelector('#login[target=_blank]')).click()
	const popup = await opened
	await ended(popup, `${stand.app}/`)
	assert.equal(await popup.evaluate(() => window.opener), null)
	assert(!app.calls.some(({ path }) => path === '/api/chosen'))
	await stage.calm()
}

// ended resolves once a tab is at a place, whose script has come to its end.
async function ended(tab, place) {
	const isThere = (place) =>
		location.href === place &&
		document.readyState === 'complete' &&
		document.getElementById('going')?.hidden !== false &&
		document.getElementById('session')?.textContent !== 'is asked for'
	try {
		await tab.waitForFunction(isThere, { timeout: 20_000 }, place)
	} catch (cause) {
		throw new Error(`not at ${place} but at ${tab.url()}`, { cause })
	}
}

// touch resolves to what the page that has opened a window can do with it, and sends that
// what the plugin's scripts say among themselves.
async function touch(tab, popup) {
	await popup.evaluate(() => {
		window.heard = new Promise((resolve) => addEventListener('message', resolve, { once: true }))
	})
	const seen = await tab.evaluate(() => {
		const found = {}
		const names = [
			'caches',
			'document',
			'fetch',
			'history',
			'indexedDB',
			'localStorage',
			'name',
			'navigation',
			'navigator',
			'sessionStorage',
		]
		for (const name of names) {
			try {
				found[name] = typeof window.opened[name]
			} catch (error) {
				found[name] = error.name
			}
		}
		try {
			found.href = window.opened.location.href
		} catch (error) {
			found.href = error.name
		}
		window.answers = []
		window.onmessage = ({ data }) => window.answers.push(data)
		for (const type of ['REAUTH_IN_CHARGE', 'REAUTH_STATUS', 'REAUTH_RENEW', 'back', 'renewed', 'login']) {
			const { port1, port2 } = new MessageChannel()
			port1.onmessage = ({ data }) => window.answers.push(data)
			window.opened.postMessage({ type, refreshPath: '/_reauth' }, '*', [port2])
		}
		return [...new Set(Object.values(found))]
	})
	await popup.evaluate(async () => {
		await window.heard
	})
	return seen
}

// Where a window ends that a stranger opens at a path, with a good session and otherwise.
// What goes to the login comes back by itself, as the SSO session is good.
const destinations = (stage) => {
	const { stand } = stage
	const stays = (path) => ({ path, good: '/', expired: path, logins: 0 })
	const goes = (path, to) => ({ path, good: to, expired: to, logins: 1 })
	const evil = encodeURIComponent(stage.at('evil.other'))
	return [
		stays('/_reauth'),
		stays(`/_reauth#${stand.app}/api/chosen`),
		stays('/_reauth?probe'),
		stays(`/_reauth?reauth-worker#${stand.app}/api/chosen`),
		goes(`/_reauth?login#${stand.app}/api/chosen`, '/'),
		goes(`/_reauth?rd=${evil}`, '/'),
		goes('/_reauth?rd=%2F_reauth%3Flogin', '/'),
		goes('/_reauth?rd=%2Fapi%2Fchosen', '/api/chosen'),
		{ path: '/_reauth?status', good: '/_reauth?status', expired: '/_reauth?status', logins: 0 },
		goes('/', '/'),
	]
}

async function opensNothing(stage, host, state) {
	const { app, stand, tab } = stage
	await tab.goto(stage.at(host))
	for (const { path, logins, ...ends } of destinations(stage)) {
		await stage.bring(state)
		const popup = await stage.open(stand.app + path)
		const place = stand.app + ends[state]
		await ended(popup, place)
		// The login's redirects may hand the fragment on, which nobody reads.
		assert.equal(await stage.authorized(), state === 'good' ? 0 : logins, path)
		assert.deepEqual(await touch(tab, popup), ['SecurityError'], path)
		// The tabs that were there go on, whatever the window is at.
		await stage.calm()
		assert.equal((await call(popup, '/api/settled', edit)).status, 200)
		assert.equal(await placeOf(popup), place)
		const chosen = app.calls.filter((each) => each.path === '/api/chosen')
		assert.deepEqual(
			chosen.map(({ headers }) => headers['sec-fetch-site']),
			path.includes('rd=%2Fapi') ? [host === strangers['another site'] ? 'cross-site' : 'same-site'] : [],
			path,
		)
		assert.deepEqual(await tab.evaluate(() => window.answers), [], path)
	}
}

// Who holds a window can have it go on within its page, away and back.
async function rewritesNoHistory(stage, host) {
	const { app, stand, tab } = stage
	await tab.goto(stage.at(host))
	const steer = (url) =>
		tab.evaluate((url) => {
			window.opened.location = url
		}, url)
	const chosen = `${stand.app}/_reauth#${stand.app}/api/chosen`
	for (const [what, comeBack] of Object.entries({
		'a reload': (popup) => popup.reload(),
		'a way back': async (popup) => {
			const back = new Promise((resolve) => popup.on('framenavigated', (frame) => frame.url() === chosen && resolve()))
			await steer(stage.at(host, '/back'))
			await back
		},
	})) {
		await stage.bring('expired')
		const popup = await stage.open(`${stand.app}/_reauth`)
		await ended(popup, `${stand.app}/_reauth`)
		await steer(chosen)
		await ended(popup, chosen)
		await comeBack(popup)
		await ended(popup, chosen)
		assert.equal(await stage.authorized(), 0, what)
		// Nor does the person come there who takes what is offered.
		await popup.click('#login')
		await ended(popup, `${stand.app}/`)
		assert(!app.calls.some(({ path }) => path === '/api/chosen'), what)
		await stage.calm()
	}
}

// What a stranger sends is sent once, with the cookies that a browser lets it have, and by
// no script of the plugin's.
async function sendsNothingAgain(stage, host, state) {
	const { app, stand, tab } = stage
	const arrives = state === 'good' && host === strangers['another host of the site'] ? 1 : 0
	const arrived = () => app.calls.filter(({ method, path }) => method === 'POST' && path === '/api/edit').length
	const submit = (path, enctype) =>
		Promise.all([
			tab.waitForNavigation(),
			tab.evaluate(
				(action, enctype) => {
					const form = Object.assign(document.createElement('form'), { method: 'post', action, enctype })
					document.body.append(form)
					form.submit()
				},
				stand.app + path,
				enctype,
			),
		])
	for (const enctype of ['application/x-www-form-urlencoded', 'multipart/form-data', 'text/plain']) {
		await tab.goto(stage.at(host))
		await stage.bring(state)
		const [response] = await submit('/api/edit', enctype)
		assert.equal(response.status(), 200)
		assert.equal(tab.url(), `${stand.app}/api/edit`)
		await stage.calm()
		assert.equal(arrived(), arrives, enctype)
	}
	for (const path of ['/_reauth', '/_reauth?login', '/_reauth?rd=%2Fapi%2Fchosen', '/_reauth?status']) {
		await tab.goto(stage.at(host))
		await stage.bring(state)
		const [response] = await submit(path, 'text/plain')
		assert.equal(response.status(), 405, path)
		// The picture of a page of the app's may renew the session, whatever the page is.
		assert((await stage.authorized()) <= 1, path)
		await stage.calm()
	}
	await tab.goto(stage.at(host))
	await stage.bring(state)
	const sent = await call(tab, `${stand.app}/api/edit`, {
		...edit,
		mode: 'no-cors',
		credentials: 'include',
		body: 'edit',
	})
	assert.deepEqual(sent, { status: 0, type: 'opaque', body: '' })
	await stage.calm()
	assert.equal(arrived(), arrives)
}

// What the scripts keep and say among themselves is one origin's own.
async function hearsNothing(stage, host) {
	const { stand, tab, victim } = stage
	await tab.goto(stage.at(host))
	await stage.bring('expired')
	const listen = (page) =>
		page.evaluate(() => {
			window.told = []
			window.channel?.close()
			window.channel = new BroadcastChannel('reauth')
			window.channel.onmessage = ({ data }) => window.told.push(data.type)
		})
	await listen(tab)
	await listen(victim)
	await tab.evaluate(() => window.channel.postMessage({ type: 'evil' }))
	assert.equal((await call(victim, '/api/edit', edit)).status, 200)
	await victim.waitForFunction(() => window.told.length > 1)
	assert.deepEqual(await victim.evaluate(() => window.told), ['refused', 'renewed'])
	const found = await tab.evaluate(async (app) => {
		const { serviceWorker } = navigator
		return {
			told: window.told,
			caches: await caches.keys(),
			kept: await caches.match(`${app}/_reauth?renewed`).then(Boolean),
			registrations: (await serviceWorker.getRegistrations()).length,
			theirs: await serviceWorker.getRegistration(`${app}/`).catch(({ name }) => name),
			controller: serviceWorker.controller,
		}
	}, stand.app)
	assert.deepEqual(found, {
		told: [],
		caches: [],
		kept: false,
		registrations: 0,
		theirs: 'SecurityError',
		controller: null,
	})
	await stage.calm()
}

test('pages of other origins', async (t) => {
	const stage = await Stage.set(t)
	const attacks = {
		'reads nothing': readsNothing,
		'has no page of the plugin in a frame but the offer of a login': framesNothing,
		'opens windows that end in the app or stay, and has no hold of them': opensNothing,
		'has nothing sent again': sendsNothingAgain,
	}
	await t.test('one that is listed reads what others do not', () => listedReads(stage))
	for (const state of states) {
		await t.test(`session ${state}, one that is like a listed one reads nothing`, () => onlyListedRead(stage, state))
	}
	for (const [who, host] of Object.entries(strangers)) {
		for (const state of states) {
			for (const [what, attack] of Object.entries(attacks)) {
				await t.test(`session ${state}, ${who} ${what}`, () => attack(stage, host, state))
			}
		}
		await t.test(`${who} hears nothing`, () => hearsNothing(stage, host))
		await t.test(`${who} has a click in a frame lead to the home page alone`, () => clickLeadsHome(stage, host))
		await t.test(`${who} does not choose the way back of a window it holds`, () => rewritesNoHistory(stage, host))
	}
})

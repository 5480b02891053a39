import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import test from 'node:test'
import vm from 'node:vm'

const source = await readFile(new URL('worker.js', import.meta.url), 'utf8')
const ORIGIN = 'https://app.example.com'
const REFRESH = '/_reauth'
// The visit says where the tab was when it was loaded.
const VISIT = `${REFRESH}#${ORIGIN}/loaded?a#b`
const MINUTE = 60 * 1000

const absolute = (url) => new URL(url, ORIGIN).href

// idle resolves when nothing is left that can go on by itself.
const idle = async () => {
	for (let i = 0; i < 5; i++) await new Promise(setImmediate)
}

// A listener that fails is a failed test: Node rethrows what it throws.
class ExtendableEvent extends Event {
	work = []

	waitUntil(promise) {
		this.work.push(promise)
	}
}

// The real respondWith ends the dispatch, and takes one answer before its end.
class FetchEvent extends ExtendableEvent {
	constructor(request) {
		super('fetch', { cancelable: true })
		this.request = request
	}

	respondWith(answer) {
		if (this.answer || this.over) throw new Error('InvalidStateError')
		this.stopImmediatePropagation()
		this.answer = Promise.resolve(answer)
	}
}

// The global object of a service worker. An event handler attribute is a
// listener that is added past the page's own addEventListener.
class Scope extends EventTarget {
	#onfetch

	set onfetch(handler) {
		if (!this.#onfetch) super.addEventListener('fetch', (event) => this.#onfetch(event))
		this.#onfetch = handler
	}
}

// CacheStorage, with responses by URL.
class Caches {
	stores = new Map()
	used = new Set()
	// The methods that fail.
	broken = new Set()
	puts = 0

	#use(method) {
		if (this.broken.has(method)) throw new DOMException('Storage is full', 'QuotaExceededError')
	}

	async match(key, { cacheName = 'all of them' } = {}) {
		this.#use('match')
		this.used.add(cacheName)
		for (const [name, store] of this.stores) {
			if (cacheName !== 'all of them' && name !== cacheName) continue
			const found = store.get(absolute(key))
			if (found) return found.clone()
		}
	}

	async open(name) {
		this.#use('open')
		this.used.add(name)
		if (!this.stores.has(name)) this.stores.set(name, new Map())
		const store = this.stores.get(name)
		return {
			put: async (key, response) => {
				this.#use('put')
				this.puts++
				store.set(absolute(key), response)
			},
			delete: async (key) => {
				this.#use('delete')
				return store.delete(absolute(key))
			},
		}
	}
}

// A window that the worker may send elsewhere. A visit may take until after the
// worker's activation, so nothing may wait for it: here only arrive ends one.
class Tab {
	type = 'window'
	visits = []
	messages = 0
	controlled = true
	visibilityState = 'visible'
	url = `${ORIGIN}/loaded?a#b`
	frameType = 'top-level'

	constructor(differences) {
		Object.assign(this, differences)
	}

	navigate(url) {
		this.visits.push(url)
		return new Promise((resolve) => {
			this.arrive = resolve
		})
	}

	postMessage() {
		this.messages++
	}
}

// Browser is what outlasts a run of the worker, with the server behind it.
class Browser {
	now = Date.UTC(2026, 0, 1)
	caches = new Caches()
	tab = new Tab()
	tabs = [this.tab]
	// Whether the session is good, whether a renewal makes it good, and how many
	// come to nothing before one does.
	session = true
	renewable = true
	vain = 0
	// Paths that need no session, and those that cannot be reached.
	open = new Set()
	lost = new Set()
	// Whether the auth server can tell nothing of a session.
	broken = false
	// What has reached the server.
	seen = []
	#held = new Map()

	// hold makes the answers for a path wait for the function that it returns.
	hold(path) {
		let release
		const held = new Promise((resolve) => {
			release = resolve
		})
		this.#held.set(path, held)
		return release
	}

	fetch = async (input, init) => {
		const request = new Request(typeof input === 'string' ? absolute(input) : input, init)
		const { pathname, search } = new URL(request.url)
		const body = await request.text()
		const token = request.headers.get('X-Actual-Token')
		this.seen.push([request.method, pathname + search, token, body].filter(Boolean).join(' '))
		if (this.lost.has(pathname)) throw new TypeError('Failed to fetch')
		if (pathname === REFRESH) {
			this.renewal = request
			this.onrenewal?.()
			await Promise.race([
				this.#held.get(pathname),
				new Promise((_, reject) => request.signal.addEventListener('abort', () => reject(request.signal.reason))),
			])
			this.session ||= this.renewable && this.vain-- <= 0
			return new Response(null, { status: 204 })
		}
		if (this.broken) return new Response('broken', { status: 502 })
		const good = this.session || this.open.has(pathname)
		await this.#held.get(pathname)
		return good ? new Response(`answer to ${body || pathname}`) : refusal()
	}

	// expire ends the session; renewable tells whether it can be renewed.
	expire(renewable) {
		this.session = false
		this.renewable = renewable
	}

	renewals() {
		return this.seen.filter((line) => line === `GET ${REFRESH}`).length
	}

	// start runs the script for a new worker, with the app's own script behind it.
	start({ app, recovering = false, scope = `${ORIGIN}/`, authPaths = ['/auth'] } = {}) {
		return new Worker(this, app, recovering, scope, authPaths)
	}
}

const refusal = () =>
	new Response('{"status":"error"}', {
		status: 401,
		headers: { 'WWW-Authenticate': `Reauth realm="reauth@docker", uri="${REFRESH}"` },
	})

// Worker is one run of the script, of an active worker unless a test says else.
class Worker {
	scope = new Scope()
	skipped = 0
	updates = 0
	limits = []
	registration = {
		active: { state: 'activated' },
		installing: null,
		waiting: null,
		update: async () => {
			this.updates++
			throw new TypeError('Failed to update')
		},
	}

	constructor(browser, app, recovering, scope, authPaths) {
		this.browser = browser
		const context = {
			self: this.scope,
			EventTarget,
			FetchEvent,
			Response,
			URL,
			queueMicrotask,
			fetch: browser.fetch,
			caches: browser.caches,
			location: new URL('/sw.js', ORIGIN),
			Date: { now: () => browser.now },
			AbortSignal: {
				timeout: (limit) => {
					this.limits.push(limit)
					this.limit = new AbortController()
					return this.limit.signal
				},
			},
			clients: {
				claim: async () => {
					for (const tab of browser.tabs) tab.controlled = true
				},
				matchAll: async ({ type = 'window' } = {}) =>
					browser.tabs.filter((client) => client.controlled && client.type === type),
			},
			registration: Object.assign(this.registration, { scope }),
			skipWaiting: async () => {
				this.skipped++
			},
			// The test says when time is up.
			setTimeout: (later) => {
				this.later = later
			},
		}
		vm.runInNewContext(source, context)(REFRESH, authPaths, recovering)
		app?.(this.scope)
	}

	// dispatch returns the fetch event that a request comes to.
	dispatch(request) {
		const event = new FetchEvent(typeof request === 'string' ? new Request(absolute(request)) : request)
		this.scope.dispatchEvent(event)
		event.over = true
		return event
	}

	// ask returns the promise of the worker's answer, or undefined if it leaves
	// the request to the browser.
	ask(request) {
		return this.dispatch(request).answer
	}

	// text resolves to the status and the body of the answer.
	async text(request) {
		const answer = await this.ask(request)
		const body = await answer.text()
		await idle()
		return `${answer.status} ${body}`
	}

	// extend resolves to what the install or activate event comes to.
	async extend(type) {
		const event = new ExtendableEvent(type)
		this.scope.dispatchEvent(event)
		const work = await Promise.allSettled(event.work)
		await idle()
		return work.map(({ status }) => status).join()
	}
}

const REFUSED = '401 {"status":"error"}'

const post = (path, body) => new Request(absolute(path), { method: 'POST', body })

const navigation = (path) => Object.defineProperty(new Request(absolute(path)), 'mode', { value: 'navigate' })

const withoutCookies = (path) => new Request(absolute(path), { credentials: 'omit' })

const onlyIfCached = (path) => new Request(absolute(path), { mode: 'same-origin', cache: 'only-if-cached' })

// answering is an app whose worker answers everything, and notes what it sees.
const answering =
	(answer, saw = []) =>
	(self) =>
		self.addEventListener('fetch', (event) => {
			saw.push(new URL(event.request.url).pathname)
			event.respondWith(answer(event.request))
		})

test('what the server answers is passed on', async () => {
	const browser = new Browser()
	const worker = browser.start()
	assert.equal(await worker.text('/a'), '200 answer to /a')
	assert.equal(await worker.text(post('/b', 'body')), '200 answer to body')
	assert.deepEqual(browser.seen, ['GET /a', 'POST /b body'])
})

test("a refusal that is not the plugin's is passed on", async () => {
	for (const [status, challenge] of [
		[401, undefined],
		[401, 'Basic realm="Reauth "'],
		[401, 'Reauthx y="z"'],
		[403, 'Reauth realm="z"'],
	]) {
		const browser = new Browser()
		const answer = new Response('', { status, headers: challenge ? { 'WWW-Authenticate': challenge } : {} })
		const worker = browser.start({ app: answering(() => answer) })
		assert.equal(await worker.ask('/a'), answer)
		assert.equal(browser.renewals(), 0)
	}
})

test('a failed request fails', async () => {
	const browser = new Browser()
	browser.lost.add('/a')
	await assert.rejects(browser.start().ask('/a'), { message: 'Failed to fetch' })
	await idle()
	assert.deepEqual(browser.seen, ['GET /a'])
})

test('a refused request is sent again after a renewal, as it was', async () => {
	const browser = new Browser()
	browser.expire(true)
	const request = new Request(absolute('/sync?x=1'), {
		method: 'PUT',
		body: 'body',
		headers: { 'X-Actual-Token': 't' },
	})
	assert.equal(await browser.start().text(request), '200 answer to body')
	assert.deepEqual(browser.seen, ['PUT /sync?x=1 t body', `GET ${REFRESH}`, 'PUT /sync?x=1 t body'])
	assert.deepEqual(browser.tab.visits, [])
})

test('the renewal goes with cookies, past every cache, to whatever origin it is sent', async () => {
	const browser = new Browser()
	browser.expire(true)
	await browser.start().ask('/a')
	const { mode, credentials, cache, redirect } = browser.renewal
	assert.deepEqual([mode, credentials, cache, redirect], ['no-cors', 'include', 'no-store', 'follow'])
})

test('many refused requests wait for one renewal', async () => {
	const browser = new Browser()
	browser.expire(true)
	const release = browser.hold(REFRESH)
	const worker = browser.start()
	const answers = ['/a', '/b', '/c', '/d'].map((path) => worker.text(path))
	await idle()
	assert.deepEqual(browser.seen, ['GET /a', 'GET /b', 'GET /c', 'GET /d', `GET ${REFRESH}`])
	release()
	assert.deepEqual(
		await Promise.all(answers),
		['/a', '/b', '/c', '/d'].map((path) => `200 answer to ${path}`),
	)
	assert.equal(browser.renewals(), 1)
})

test('every time the session expires it is renewed', async () => {
	const browser = new Browser()
	const worker = browser.start()
	for (const path of ['/a', '/b']) {
		browser.expire(true)
		assert.equal(await worker.text(path), `200 answer to ${path}`)
	}
	assert.equal(browser.renewals(), 2)
})

test('what left before a renewal ended is only sent again', async () => {
	const browser = new Browser()
	browser.expire(true)
	const release = browser.hold('/slow')
	const worker = browser.start()
	const slow = worker.text(post('/slow', 'body'))
	await idle()
	assert.equal(await worker.text('/a'), '200 answer to /a')
	release()
	assert.equal(await slow, '200 answer to body')
	assert.deepEqual(browser.seen, ['POST /slow body', 'GET /a', `GET ${REFRESH}`, 'GET /a', 'POST /slow body'])
})

test('what left before a renewal ended, and then met the next end of the session, is renewed', async () => {
	const browser = new Browser()
	browser.expire(true)
	const release = browser.hold('/slow')
	const worker = browser.start()
	const slow = worker.text(post('/slow', 'body'))
	await idle()
	assert.equal(await worker.text('/a'), '200 answer to /a')
	browser.expire(true)
	release()
	assert.equal(await slow, '200 answer to body')
	assert.deepEqual(browser.seen.slice(4), ['POST /slow body', `GET ${REFRESH}`, 'POST /slow body'])
	assert.deepEqual(browser.tab.visits, [])
})

test('what left before a renewal ended, and is refused twice more, takes a login', async () => {
	const browser = new Browser()
	browser.expire(true)
	const release = browser.hold('/slow')
	const worker = browser.start()
	const slow = worker.text(post('/slow', 'body'))
	await idle()
	assert.equal(await worker.text('/a'), '200 answer to /a')
	browser.expire(false)
	release()
	assert.equal(await slow, REFUSED)
	assert.deepEqual(browser.seen.slice(4), ['POST /slow body', `GET ${REFRESH}`, 'POST /slow body'])
	assert.deepEqual(browser.tab.visits, [VISIT])
})

test('a renewal in vain is made once more', async () => {
	for (const [vain, answer, visits] of [
		[1, '200 answer to body', []],
		[2, REFUSED, [VISIT]],
	]) {
		const browser = new Browser()
		browser.expire(true)
		browser.vain = vain
		assert.equal(await browser.start().text(post('/a', 'body')), answer)
		assert.deepEqual(browser.seen, ['POST /a body', `GET ${REFRESH}`, 'POST /a body', `GET ${REFRESH}`, 'POST /a body'])
		assert.deepEqual(browser.tab.visits, visits)
	}
})

test('many refused requests share the second renewal, too', async () => {
	const browser = new Browser()
	browser.expire(true)
	browser.vain = 1
	const worker = browser.start()
	const answers = await Promise.all(['/a', '/b', '/c'].map((path) => worker.text(path)))
	assert.deepEqual(
		answers,
		['/a', '/b', '/c'].map((path) => `200 answer to ${path}`),
	)
	assert.equal(browser.renewals(), 2)
})

test('a renewal that ended after a replay had left serves it too', async () => {
	const browser = new Browser()
	browser.expire(true)
	browser.vain = 1
	let release
	browser.onrenewal = () => {
		release ??= browser.hold('/slow')
	}
	const worker = browser.start()
	const slow = worker.text('/slow')
	await idle()
	assert.equal(await worker.text('/a'), '200 answer to /a')
	release()
	assert.equal(await slow, '200 answer to /slow')
	assert.equal(browser.renewals(), 2)
	assert.equal(browser.seen.at(-1), 'GET /slow')
})

test('a renewal that failed does not count', async () => {
	const browser = new Browser()
	browser.expire(true)
	browser.lost.add(REFRESH)
	const release = browser.hold('/slow')
	const worker = browser.start()
	const slow = worker.text('/slow')
	await idle()
	assert.equal(await worker.text('/a'), REFUSED)
	browser.lost.clear()
	release()
	assert.equal(await slow, '200 answer to /slow')
	assert.deepEqual(browser.seen, ['GET /slow', 'GET /a', `GET ${REFRESH}`, `GET ${REFRESH}`, 'GET /slow'])
})

test('without the auth server the caller gets the 401, and nobody is sent anywhere', async () => {
	const browser = new Browser()
	browser.expire(true)
	browser.lost.add(REFRESH)
	const worker = browser.start()
	assert.equal(await worker.text('/a'), REFUSED)
	assert.deepEqual(browser.tab.visits, [])
	assert.deepEqual(browser.seen, ['GET /a', `GET ${REFRESH}`])
	browser.lost.clear()
	assert.equal(await worker.text('/a'), '200 answer to /a')
})

test('a renewal that does not end is given up after half a minute', async () => {
	const browser = new Browser()
	browser.expire(true)
	browser.hold(REFRESH)
	const worker = browser.start()
	const answer = worker.text('/a')
	await idle()
	assert.deepEqual(worker.limits, [MINUTE / 2])
	worker.limit.abort()
	assert.equal(await answer, REFUSED)
	assert.deepEqual(browser.tab.visits, [])
})

test('a replay that fails is no missing login', async () => {
	// Whether the first replay fails, or the one after a renewal in vain.
	for (const vain of [0, 1]) {
		for (const method of ['GET', 'HEAD', 'POST', 'DELETE']) {
			const browser = new Browser()
			browser.expire(true)
			browser.vain = vain
			browser.onrenewal = () => {
				if (browser.renewals() > vain) browser.lost.add('/a')
			}
			const answer = browser.start().ask(new Request(absolute('/a'), { method }))
			const outcome = await answer.then(({ status }) => status, String)
			assert.equal(outcome, method === 'GET' || method === 'HEAD' ? 'TypeError: Failed to fetch' : 401)
			await idle()
			assert.equal(browser.renewals(), vain + 1)
			assert.deepEqual(browser.tab.visits, [])
		}
	}
})

test('a refused replay sends the visible tab to the login once', async () => {
	const browser = new Browser()
	browser.expire(false)
	const worker = browser.start()
	assert.deepEqual(await Promise.all(['/a', '/b', '/c'].map((path) => worker.text(path))), [REFUSED, REFUSED, REFUSED])
	assert.deepEqual(browser.tab.visits, [VISIT])
	assert.equal(await worker.text('/a'), REFUSED)
	assert.deepEqual(browser.tab.visits, [VISIT])
})

test('the tab that had the focus last is sent, and neither a hidden one nor a frame', async () => {
	const browser = new Browser()
	browser.tabs = [
		new Tab({ visibilityState: 'hidden' }),
		new Tab({ frameType: 'nested' }),
		new Tab({ frameType: 'auxiliary' }),
		new Tab(),
	]
	browser.expire(false)
	await browser.start().text('/a')
	assert.deepEqual(
		browser.tabs.map((tab) => tab.visits.length),
		[0, 0, 1, 0],
	)
})

test('where no tab could be sent, the next one is sent at once', async () => {
	const browser = new Browser()
	browser.tab.visibilityState = 'hidden'
	browser.expire(false)
	const worker = browser.start()
	await worker.text('/a')
	assert.deepEqual(browser.tab.visits, [])
	browser.tab.visibilityState = 'visible'
	await worker.text('/a')
	assert.deepEqual(browser.tab.visits, [VISIT])
})

test('a tab that will not go makes no difference to the caller', async () => {
	const browser = new Browser()
	browser.tab.navigate = async () => {
		throw new TypeError('Cannot navigate')
	}
	browser.expire(false)
	assert.equal(await browser.start().text('/a'), REFUSED)
})

test('a page with shared workers is sent a message once it has gone', async () => {
	for (const shared of [[], [{ type: 'sharedworker', controlled: true }]]) {
		const browser = new Browser()
		browser.tabs.push(...shared)
		browser.expire(false)
		await browser.start().text('/a')
		assert.equal(browser.tab.messages, 0)
		browser.tab.arrive()
		await idle()
		assert.equal(browser.tab.messages, shared.length)
	}
})

test('nobody is sent twice in five minutes, whether or not the worker ran on', async () => {
	for (const restart of [false, true]) {
		const browser = new Browser()
		browser.expire(false)
		let worker = browser.start()
		const refused = async (after) => {
			browser.now += after
			if (restart) worker = browser.start()
			await worker.text('/a')
			return browser.tab.visits.length
		}
		assert.equal(await refused(0), 1)
		assert.equal(await refused(5 * MINUTE - 1), 1)
		assert.equal(await refused(1), 2)
		assert.equal(await refused(MINUTE), 2)
	}
})

test('once the refused path was served, the next trip need not wait', async () => {
	for (const restart of [false, true]) {
		const browser = new Browser()
		browser.expire(false)
		const worker = browser.start()
		await worker.text('/a')
		const later = restart ? browser.start() : worker
		browser.session = true
		await later.text('/a?again')
		browser.expire(false)
		await later.text('/b')
		assert.deepEqual(browser.tab.visits, [VISIT, VISIT])
		// The second trip counts like the first.
		await browser.start().text('/b')
		assert.equal(browser.tab.visits.length, 2)
	}
})

test('that another path was served does not end a trip', async () => {
	const browser = new Browser()
	browser.open.add('/public')
	browser.expire(false)
	const worker = browser.start()
	await worker.text('/a')
	await worker.text('/public')
	await worker.text('/a')
	assert.deepEqual(browser.tab.visits, [VISIT])
})

test('that the auth server is broken does not end a trip', async () => {
	const browser = new Browser()
	browser.expire(false)
	const worker = browser.start()
	await worker.text('/a')
	browser.broken = true
	assert.equal(await worker.text('/a'), '502 broken')
	browser.broken = false
	await worker.text('/a')
	assert.deepEqual(browser.tab.visits, [VISIT])
})

test('a replay that meets a broken auth server does not end a trip', async () => {
	const browser = new Browser()
	browser.expire(false)
	const worker = browser.start()
	await worker.text('/a')
	const release = browser.hold(REFRESH)
	const answer = worker.text('/a')
	await idle()
	browser.broken = true
	release()
	assert.equal(await answer, '502 broken')
	browser.broken = false
	await worker.text('/a')
	assert.deepEqual(browser.tab.visits, [VISIT])
})

test('a clock that was set back does not make the pause longer', async () => {
	const browser = new Browser()
	browser.expire(false)
	const worker = browser.start()
	await worker.text('/a')
	browser.now -= 5 * MINUTE
	await worker.text('/a')
	assert.deepEqual(browser.tab.visits, [VISIT, VISIT])
})

test('that the refused path was refused again does not end a trip', async () => {
	const browser = new Browser()
	browser.expire(false)
	const worker = browser.start()
	await worker.text('/a')
	browser.lost.add(REFRESH)
	await worker.text('/a')
	browser.lost.clear()
	await worker.text('/a')
	assert.deepEqual(browser.tab.visits, [VISIT])
})

test('a replay that is served ends a trip, for later runs too', async () => {
	const browser = new Browser()
	browser.expire(false)
	await browser.start().text('/a')
	browser.renewable = true
	assert.equal(await browser.start().text('/b'), '200 answer to /b')
	browser.expire(false)
	await browser.start().text('/c')
	assert.deepEqual(browser.tab.visits, [VISIT, VISIT])
})

test('the refresh path and the auth paths are left to the network, past the app', async () => {
	const saw = []
	const browser = new Browser()
	const worker = browser.start({ app: answering(() => new Response('app'), saw), authPaths: ['/auth', '/o/x'] })
	for (const path of [REFRESH, `${REFRESH}?rd=/`, '/auth', '/auth/', '/auth/start?rd=/', '/o/x/y']) {
		assert.equal(worker.ask(path), undefined, path)
		assert.equal(worker.ask(navigation(path)), undefined, path)
	}
	assert.deepEqual(saw, [])
	for (const path of [`${REFRESH}/a`, `${REFRESH}x`, '/authx', '/x/auth', '/o', '/Auth']) {
		assert.equal(await worker.text(path), '200 app', path)
	}
	assert.deepEqual(browser.seen, [])
})

test('navigations, other origins, only-if-cached and what goes without cookies are left to the network', async () => {
	const browser = new Browser()
	const worker = browser.start()
	for (const request of [
		navigation('/a'),
		new Request(`https://other.example.com${REFRESH}`),
		onlyIfCached('/a'),
		withoutCookies('/a'),
	]) {
		assert.equal(worker.ask(request), undefined)
	}
	await idle()
	assert.deepEqual(browser.seen, [])
})

test('what the app answers to navigations, for other origins and without cookies is its own', async () => {
	const browser = new Browser()
	browser.expire(true)
	const answer = refusal()
	const worker = browser.start({ app: answering(() => answer) })
	for (const request of [
		navigation('/a'),
		new Request('https://other.example.com/a'),
		new Request(`https://other.example.com${REFRESH}`),
		withoutCookies('/a'),
	]) {
		assert.equal(await worker.ask(request), answer)
	}
	await idle()
	assert.equal(browser.renewals(), 0)
})

test("the app's answer is its own", async () => {
	const browser = new Browser()
	const answer = new Response('app')
	for (const given of [answer, Promise.resolve(answer)]) {
		assert.equal(await browser.start({ app: answering(() => given) }).ask('/a'), answer)
		assert.equal(await browser.start({ app: answering(() => given) }).ask(onlyIfCached('/a')), answer)
	}
	const failing = browser.start({ app: answering(() => Promise.reject(new TypeError('The app failed'))) })
	await assert.rejects(failing.ask('/a'), { message: 'The app failed' })
	assert.deepEqual(browser.seen, [])
})

test('a request that the app has used up is left to the network', async () => {
	const browser = new Browser()
	const worker = browser.start({
		app: (self) => self.addEventListener('fetch', (event) => event.request.text()),
	})
	assert.equal(worker.ask(post('/a', 'body')), undefined)
	await idle()
	assert.deepEqual(browser.seen, [])
})

test('a refused GET of the app is sent again', async () => {
	const browser = new Browser()
	for (const method of ['GET', 'HEAD']) {
		browser.expire(true)
		const worker = browser.start({ app: answering(browser.fetch) })
		assert.equal((await worker.ask(new Request(absolute('/a'), { method }))).status, 200)
	}
	assert.deepEqual(browser.seen, ['GET /a', `GET ${REFRESH}`, 'GET /a', 'HEAD /a', `GET ${REFRESH}`, 'HEAD /a'])
})

test('a refused answer that the app has copied is settled like any other', async () => {
	const browser = new Browser()
	browser.expire(false)
	const copying = async (request) => {
		const { status, headers, body } = await browser.fetch(request)
		return new Response(body, { status, headers })
	}
	assert.equal(await browser.start({ app: answering(copying) }).text('/a'), REFUSED)
	assert.deepEqual(browser.tab.visits, [VISIT])
})

test('a refused POST of the app gets the 401, but the session is renewed', async () => {
	const browser = new Browser()
	browser.expire(true)
	const worker = browser.start({ app: answering(browser.fetch) })
	assert.equal(await worker.text(post('/a', 'body')), REFUSED)
	assert.deepEqual(browser.seen, ['POST /a body', `GET ${REFRESH}`])
	assert.equal(await worker.text(post('/a', 'body')), '200 answer to body')
})

const listen = (self) => answering(() => new Response('app'))(self)

for (const [when, app] of [
	['at once', listen],
	[
		'in a promise',
		async (self) => {
			await Promise.resolve()
			await Promise.resolve()
			listen(self)
		},
	],
	[
		'in a task',
		async (self) => {
			await new Promise(setImmediate)
			listen(self)
		},
	],
	[
		'by onfetch',
		(self) => {
			self.onfetch = (event) => event.respondWith(new Response('app'))
		},
	],
	[
		'by onfetch, behind a listener',
		(self) => {
			self.addEventListener('fetch', () => {})
			self.onfetch = (event) => event.respondWith(new Response('app'))
		},
	],
]) {
	test(`the app's listener comes first, though it is added ${when}`, async () => {
		const browser = new Browser()
		const worker = browser.start({ app })
		await idle()
		assert.equal(await worker.text('/a'), '200 app')
		assert.deepEqual(browser.seen, [])
	})
}

test('addEventListener is as it was from the first request on', async () => {
	const worker = new Browser().start()
	assert.ok(Object.hasOwn(worker.scope, 'addEventListener'))
	worker.ask(navigation('/a'))
	assert.ok(!Object.hasOwn(worker.scope, 'addEventListener'))
})

test("an addEventListener of the app's own stays", () => {
	const own = () => {}
	const worker = new Browser().start({
		app: (self) => {
			self.addEventListener = own
		},
	})
	worker.ask(navigation('/a'))
	assert.equal(worker.scope.addEventListener, own)
})

test("the app's listeners for other events are added as it says", () => {
	let heard = 0
	const worker = new Browser().start({
		app: (self) => self.addEventListener('message', () => heard++, { once: true }),
	})
	worker.scope.dispatchEvent(new Event('message'))
	worker.scope.dispatchEvent(new Event('message'))
	assert.equal(heard, 1)
})

test('the first worker takes over, in whatever scope', async () => {
	const browser = new Browser()
	for (const differences of [{}, { scope: `${ORIGIN}/sub/` }, { scope: `${ORIGIN}/sub/?x`, recovering: true }]) {
		const worker = browser.start(differences)
		assert.equal(await worker.extend('install'), 'fulfilled')
		assert.equal(worker.skipped, 1)
		assert.equal(await worker.extend('activate'), 'fulfilled')
		assert.equal(await worker.text('/a'), '200 answer to /a')
	}
	assert.equal(browser.renewals(), 0)
})

test('a worker that takes over asks until it is active', async () => {
	const worker = new Browser().start()
	assert.equal(await worker.extend('install'), 'fulfilled')
	for (const [state, skipped] of [
		['installing', 2],
		['waiting', 3],
		['active', 3],
	]) {
		Object.assign(worker.registration, { installing: null, waiting: null, [state]: { state } })
		worker.later()
		assert.equal(worker.skipped, skipped, state)
	}
})

// waits tells whether a new worker waits, as it does where one with the refresh
// script is known to be in charge.
const waits = async (browser) => {
	const update = browser.start()
	assert.equal(await update.extend('install'), 'fulfilled')
	return update.skipped === 0
}

test('an update waits where a worker with the refresh script is in charge', async () => {
	for (const request of [
		'/a',
		post('/a', 'body'),
		REFRESH,
		navigation('/a'),
		withoutCookies('/a'),
		onlyIfCached('/a'),
		new Request('https://other.example.com/a'),
	]) {
		const browser = new Browser()
		const { work } = browser.start().dispatch(request)
		// The worker may be ended with its last event.
		assert.equal(work.length, 1)
		await Promise.all(work)
		assert.ok(await waits(browser))
	}
})

test('an update waits whatever the app answers', async () => {
	const browser = new Browser()
	const worker = browser.start({ app: answering(() => new Response('app')) })
	assert.equal(await worker.text('/a'), '200 app')
	assert.ok(await waits(browser))
})

test('while a worker activates it takes no note of being in charge', async () => {
	const browser = new Browser()
	const worker = browser.start()
	for (const active of [null, { state: 'activating' }]) {
		worker.registration.active = active
		await worker.extend('install')
		await worker.extend('activate')
		assert.equal(await worker.text('/a'), '200 answer to /a')
		assert.ok(!(await waits(browser)))
	}
	worker.registration.active = { state: 'activated' }
	await worker.extend('activate')
	assert.ok(!(await waits(browser)))
	await worker.text('/a')
	assert.ok(await waits(browser))
})

test('every run of a worker takes note once that it is in charge', async () => {
	const browser = new Browser()
	for (const run of [1, 2]) {
		const worker = browser.start()
		await Promise.all(['/a', '/b'].map((path) => worker.text(path)))
		await worker.text('/c')
		assert.equal(browser.caches.puts, run)
		// As an app does that deletes what it does not know.
		browser.caches.stores.clear()
	}
})

test('a recovery script is not what an update waits for', async () => {
	const browser = new Browser()
	await browser.start({ recovering: true }).text('/a')
	assert.ok(!(await waits(browser)))
	assert.equal(browser.caches.puts, 0)
})

test('a recovery script renews the session, and leaves the worker in charge', async () => {
	const browser = new Browser()
	await browser.start().text('/a')
	for (const lost of [[], [REFRESH]]) {
		browser.expire(true)
		browser.lost = new Set(lost)
		const update = browser.start({ recovering: true })
		assert.equal(await update.extend('install'), 'rejected')
		assert.equal(update.skipped, 0)
		assert.equal(browser.session, lost.length === 0)
	}
	assert.equal(browser.renewals(), 2)
	assert.deepEqual(browser.tab.visits, [])
})

test('a new worker serves the tabs that were there before, and ends a trip', async () => {
	const browser = new Browser()
	browser.expire(false)
	await browser.start().text('/a')
	browser.tab.controlled = false
	const worker = browser.start()
	assert.equal(await worker.extend('activate'), 'fulfilled')
	assert.ok(browser.tab.controlled)
	assert.equal(browser.tab.visits.length, 1)
	await browser.start().text('/a')
	assert.equal(browser.tab.visits.length, 2)
})

test('a recovery script that takes over sends the tab to the login, and does not wait for it', async () => {
	const browser = new Browser()
	browser.tab.controlled = false
	const worker = browser.start({ recovering: true })
	assert.equal(await worker.extend('activate'), 'fulfilled')
	assert.deepEqual(browser.tab.visits, [VISIT])
	assert.equal(await browser.start({ recovering: true }).extend('activate'), 'fulfilled')
	assert.deepEqual(browser.tab.visits, [VISIT])
	// What follows it takes over as well.
	const app = browser.start()
	await app.extend('install')
	assert.equal(app.skipped, 1)
})

test("a recovery script looks for the app's own once the server answers, every two seconds", async () => {
	const browser = new Browser()
	browser.expire(false)
	const worker = browser.start({ recovering: true })
	const looks = async (after) => {
		browser.now += after
		await worker.text('/a')
		return worker.updates
	}
	assert.equal(await looks(0), 0)
	browser.session = true
	assert.equal(await looks(0), 1)
	assert.equal(await looks(2000 - 1), 1)
	assert.equal(await looks(1), 2)
	assert.equal(await looks(1000), 2)
	const refresh = browser.start()
	await refresh.text('/a')
	assert.equal(refresh.updates, 0)
})

test("a recovery script does not look for the app's own while there is a new one", async () => {
	for (const state of ['installing', 'waiting']) {
		const browser = new Browser()
		const worker = browser.start({ recovering: true })
		worker.registration[state] = {}
		await worker.text('/a')
		assert.equal(worker.updates, 0)
		// That was no look: the next one need not wait.
		worker.registration[state] = null
		await worker.text('/a')
		assert.equal(worker.updates, 1)
	}
})

test('a recovery script serves as well as any other', async () => {
	const browser = new Browser()
	browser.expire(true)
	assert.equal(await browser.start({ recovering: true }).text('/a'), '200 answer to /a')
})

test('a module worker does without a recovery script only', () => {
	// The script of a module worker has no this.
	const scope = new Scope()
	const run = (recovering) =>
		vm.runInNewContext(`'use strict'; (function () { return eval(source) })()`, {
			source,
			self: scope,
			EventTarget,
			queueMicrotask,
			registration: { scope: ORIGIN },
			caches: new Caches(),
		})(REFRESH, [], recovering)
	run(false)
	assert.throws(() => run(true), { message: /module worker/ })
})

test("the app's caches are left alone", async () => {
	const browser = new Browser()
	const traps = new Map()
	for (const key of [`${REFRESH}?trip`, `${REFRESH}?installed=${encodeURIComponent(`${ORIGIN}/`)}`]) {
		traps.set(absolute(key), Response.json({ time: browser.now, path: '/a' }))
	}
	browser.caches.stores.set('app', traps)
	const worker = browser.start()
	await worker.extend('install')
	assert.equal(worker.skipped, 1)
	browser.expire(false)
	await worker.text('/a')
	assert.deepEqual(browser.tab.visits, [VISIT])
	browser.session = true
	await worker.text('/a')
	await worker.extend('activate')
	assert.deepEqual([...browser.caches.used], ['reauth'])
	assert.equal(traps.size, 2)
})

for (const broken of [['match'], ['open'], ['put'], ['delete'], ['match', 'open', 'put', 'delete']]) {
	const storage = `storage that fails to ${broken.join(', ')}`

	test(`${storage} makes no difference to an app`, async () => {
		const browser = new Browser()
		browser.caches.broken = new Set(broken)
		const worker = browser.start()
		const { answer, work } = worker.dispatch('/a')
		assert.equal((await answer).status, 200)
		await Promise.all(work)
		browser.expire(true)
		assert.equal(await worker.text('/a'), '200 answer to /a')
		browser.expire(false)
		assert.equal(await worker.text(post('/a', 'body')), REFUSED)
		// What cannot be kept is known as long as the worker runs.
		assert.equal(await worker.text('/a'), REFUSED)
		assert.deepEqual(browser.tab.visits, [VISIT])
		browser.session = true
		assert.equal(await worker.text('/a'), '200 answer to /a')
	})

	test(`${storage} keeps no worker from starting`, async () => {
		for (const recovering of [false, true]) {
			const browser = new Browser()
			browser.caches.broken = new Set(broken)
			const worker = browser.start({ recovering })
			assert.equal(await worker.extend('install'), 'fulfilled')
			assert.equal(worker.skipped, 1)
			assert.equal(await worker.extend('activate'), 'fulfilled')
			assert.deepEqual(browser.tab.visits, recovering ? [VISIT] : [])
		}
	})
}

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import test from 'node:test'
import vm from 'node:vm'

const source = await readFile(new URL('worker.js', import.meta.url), 'utf8')
const ORIGIN = 'https://app.example.com'
const REFRESH = '/_reauth'
const PROBE = `GET ${REFRESH}?probe`
const RENEWAL = `GET ${REFRESH}`
// The login that begins while the session is good, and ends at the refresh path.
const START = '/auth/start'
const AHEAD = `GET ${START}?rd=${encodeURIComponent(ORIGIN + REFRESH)}`
// The visit says where the tab was when it was loaded.
const VISIT = `${REFRESH}#${ORIGIN}/loaded?a#b`
const SECOND = 1000
const MINUTE = 60 * SECOND
// How long the worker waits for storage.
const STORAGE_LIMIT = 4 * SECOND

const absolute = (url) => new URL(url, ORIGIN).href

// idle resolves when nothing is left that can go on by itself.
const idle = async () => {
	for (let i = 0; i < 8; i++) await new Promise(setImmediate)
}

// The worker's Request resolves what it is given, and a copy of a visit is one.
class WorkerRequest extends Request {
	constructor(input, init) {
		super(typeof input === 'string' ? absolute(input) : input, init)
		if (input.mode === 'navigate') Object.defineProperty(this, 'mode', { value: 'navigate' })
	}
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
	constructor(request, resultingClientId = '', clientId = '') {
		super('fetch', { cancelable: true })
		this.request = request
		this.resultingClientId = resultingClientId
		this.clientId = clientId
		this.preloadResponse = Promise.resolve()
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
	// The keys that were put or deleted.
	keys = new Set()
	writes = 0
	// The methods that fail, and those that do not come to an end.
	broken = new Set()
	stuck = new Set()
	#waiting = []

	async #use(method) {
		if (this.broken.has(method)) throw new DOMException('Storage is full', 'QuotaExceededError')
		if (this.stuck.has(method)) await new Promise((resolve) => this.#waiting.push(resolve))
	}

	// free has come to an end what is stuck.
	free() {
		this.stuck.clear()
		for (const resolve of this.#waiting.splice(0)) resolve()
	}

	async match(key, { cacheName = 'all of them' } = {}) {
		await this.#use('match')
		this.used.add(cacheName)
		this.keys.add(key)
		for (const [name, store] of this.stores) {
			if (cacheName !== 'all of them' && name !== cacheName) continue
			const found = store.get(absolute(key))
			if (found) return found.clone()
		}
	}

	async open(name) {
		await this.#use('open')
		this.used.add(name)
		if (!this.stores.has(name)) this.stores.set(name, new Map())
		const store = this.stores.get(name)
		return {
			put: async (key, response) => {
				await this.#use('put')
				this.writes++
				this.keys.add(key)
				store.set(absolute(key), response)
			},
			delete: async (key) => {
				await this.#use('delete')
				this.writes++
				this.keys.add(key)
				return store.delete(absolute(key))
			},
		}
	}
}

// A window that the worker may send elsewhere. A visit may take until after the
// worker's activation, so nothing may wait for it: here only arrive ends one.
class Tab {
	type = 'window'
	id = 'tab'
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

// Node's own keeps a process alive for as long as somebody listens.
class Channel {
	port1 = {}
	port2 = { postMessage: (data) => queueMicrotask(() => this.port1.onmessage({ data })) }
}

// Browser is what outlasts a run of the worker, with the server behind it.
class Browser {
	now = Date.UTC(2026, 0, 1)
	// How far the clock that people set is off.
	off = 0
	// What the clock that cannot be set shows.
	clock = 0
	caches = new Caches()
	tab = new Tab()
	tabs = [this.tab]
	userAgent = {}
	// Whether the app has its pages preloaded.
	preloads = false
	// Whether the session is good, whether a renewal makes it good, and how many
	// come to nothing before one does.
	session = true
	renewable = true
	vain = 0
	// How many seconds a session lasts whose end is told.
	validity
	// How long a probe takes.
	slowness = 0
	// Paths that need no session, those that lead on to one that does, and those that
	// cannot be reached.
	open = new Set()
	redirects = new Set()
	lost = new Set()
	// A path that is refused whether or not the session is good.
	refused
	// Whether something before the plugin puts a page in the place of every 401, and the
	// paths to which the app itself answers one.
	replaces = false
	unauthorized = new Set()
	// Whether the auth server can tell nothing of a session.
	broken = false
	// The answer to a visit.
	visited = () => new Response('page')
	// What has reached the server.
	seen = []
	// What was told on the channel.
	told = []
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

	pass(time) {
		this.now += time
		this.clock += time
		if (this.end <= this.now) this.session = false
	}

	begin() {
		this.session = true
		if (this.validity) this.end = this.now + this.validity * SECOND
	}

	fetch = async (input, init) => {
		const request = new WorkerRequest(input, init)
		request.signal.throwIfAborted()
		const { pathname, search } = new URL(request.url)
		const body = await request.text()
		const token = request.headers.get('X-Actual-Token')
		this.seen.push([request.method, pathname + search, token, body].filter(Boolean).join(' '))
		this.last = request
		this.onrequest?.(pathname + search)
		const held = async (key) => {
			const aborted = new Promise((_, reject) => {
				request.signal.addEventListener('abort', () => reject(request.signal.reason))
			})
			await Promise.race([this.#held.get(key), aborted])
		}
		if (this.lost.has(pathname + search)) throw new TypeError('Failed to fetch')
		if (pathname === REFRESH && search === '?probe') {
			const active = this.session
			await held(pathname + search)
			this.pass(this.slowness)
			if (this.broken) return new Response('broken', { status: 502 })
			if (this.stranger) return this.stranger()
			const left = active && this.end ? { expires_in: Math.floor((this.end - this.now) / SECOND) } : {}
			return Response.json({ active, ...left })
		}
		if (pathname === REFRESH || pathname === START) {
			if (pathname === REFRESH) this.renewal = request
			await held(pathname)
			const lasts = this.session && pathname === REFRESH
			if (!lasts && this.renewable && this.vain-- <= 0) this.begin()
			return new Response(null, { status: 204 })
		}
		if (this.broken) return new Response('broken', { status: 502 })
		if (request.mode === 'navigate') return this.visited()
		const good = (this.session && pathname !== this.refused) || this.open.has(pathname)
		await held(pathname)
		if ((!good || this.altered) && request.integrity) throw new TypeError('Failed to fetch')
		const refuse = () => (this.replaces ? errorPage(request.url) : refusal())
		if (this.redirects.has(pathname)) return Object.defineProperty(refuse(), 'redirected', { value: true })
		if (!good) return refuse()
		return this.unauthorized.has(pathname) ? errorPage(request.url) : new Response(`answer to ${body || pathname}`)
	}

	// expire ends the session; renewable tells whether it can be renewed.
	expire(renewable) {
		this.session = false
		this.end = undefined
		this.renewable = renewable
	}

	count(line) {
		return this.seen.filter((seen) => seen === line).length
	}

	// start runs the script for a new worker, with the app's own script behind it.
	start({ app, ...settings } = {}) {
		return new Worker(this, app, settings)
	}
}

const refusal = () =>
	new Response('{"status":"error"}', {
		status: 401,
		headers: { 'WWW-Authenticate': `Reauth realm="reauth@docker", uri="${REFRESH}"` },
	})

// errorPage is a 401 that says nothing of whose it is.
const errorPage = (url, headers) =>
	Object.defineProperty(new Response('error page', { status: 401, headers }), 'url', { value: url })

// Worker is one run of the script, of an active worker unless a test says else.
class Worker {
	scope = new Scope()
	skipped = 0
	updates = 0
	timers = []
	// What the app's caches have added.
	added = []

	constructor(
		browser,
		app,
		{
			recovering = false,
			scope = `${ORIGIN}/`,
			authPaths = ['/auth'],
			startPath = START,
			silent = true,
			active,
			script = '/sw.js',
		},
	) {
		this.browser = browser
		this.registration = {
			active: active?.asActive() ?? null,
			installing: null,
			waiting: null,
			// It takes its time.
			navigationPreload: {
				getState: () => new Promise((resolve) => setImmediate(() => resolve({ enabled: browser.preloads }))),
			},
			update: async () => {
				this.updates++
				throw new TypeError('Failed to update')
			},
			scope,
		}
		// The global's own methods are its prototype's prototype's.
		const WorkerGlobalScope = class {}
		WorkerGlobalScope.prototype.fetch = browser.fetch
		Object.defineProperty(this.scope, 'fetch', { get: () => WorkerGlobalScope.prototype.fetch })
		const { added } = this
		// As the real ones do, past the worker's fetch, and past each other.
		const addAll = async (paths) => {
			for (const path of paths) {
				const response = await browser.fetch(path)
				if (!response.ok) throw new TypeError('Request failed')
				added.push(path)
			}
		}
		class Cache {
			addAll(paths) {
				return addAll(paths)
			}

			add(path) {
				return addAll([path])
			}
		}
		const context = {
			self: this.scope,
			AbortController,
			Cache,
			EventTarget,
			FetchEvent,
			MessageChannel: Channel,
			BroadcastChannel: class {
				constructor(name) {
					assert.equal(name, 'reauth')
				}

				postMessage = ({ type, refreshPath }) => {
					assert.equal(refreshPath, REFRESH)
					browser.told.push(type)
				}
			},
			TypeError,
			WorkerGlobalScope,
			Request: WorkerRequest,
			Response,
			URL,
			queueMicrotask,
			caches: browser.caches,
			location: new URL(script, ORIGIN),
			navigator: browser.userAgent,
			Date: { now: () => browser.now + browser.off },
			performance: { now: () => browser.clock },
			clients: {
				claim: async () => {
					for (const tab of browser.tabs) tab.controlled = true
				},
				matchAll: async ({ type = 'window' } = {}) =>
					browser.tabs.filter((client) => client.controlled && client.type === type),
			},
			registration: this.registration,
			skipWaiting: async () => {
				this.skipped++
			},
			// The test says when time is up.
			setTimeout: (callback, limit, ...args) => {
				// Nobody waits for storage that is not stuck.
				if (limit === STORAGE_LIMIT && browser.caches.stuck.size === 0) return
				const timer = { limit, due: browser.clock + limit, end: () => callback(...args) }
				this.timers.push(timer)
				return timer
			},
			clearTimeout: (timer) => {
				this.timers = this.timers.filter((other) => other !== timer)
			},
		}
		this.cache = new Cache()
		vm.runInNewContext(source, context)(REFRESH, authPaths, startPath, silent, recovering)
		app?.(this.scope)
	}

	// asActive is the worker as a newer one's registration has it.
	asActive() {
		return {
			state: 'activated',
			postMessage: (data, ports) => {
				const event = Object.assign(new ExtendableEvent('message', { cancelable: true }), { data, ports })
				this.scope.dispatchEvent(event)
			},
		}
	}

	// end has the time of a timer come, of which there is one with this limit.
	end(limit) {
		const timer = this.timers.find((timer) => timer.limit === limit)
		assert.ok(timer, `no timer of ${limit} among ${this.timers.map((timer) => timer.limit)}`)
		this.timers = this.timers.filter((other) => other !== timer)
		timer.end()
	}

	// wait resolves to what a promise does, while time passes for who looks again and again.
	async wait(promise) {
		let over = false
		const end = () => {
			over = true
		}
		promise.then(end, end)
		for (let turns = 0; !over; turns++) {
			assert.ok(turns < 200, 'it does not end')
			await idle()
			const [timer] = this.timers
				.filter(({ limit }) => limit === SECOND / 4 || limit === STORAGE_LIMIT)
				.toSorted((one, other) => one.due - other.due)
			if (!timer) continue
			this.browser.pass(Math.max(timer.due - this.browser.clock, 0))
			this.end(timer.limit)
		}
		return promise
	}

	// dispatch returns the fetch event that a request comes to.
	dispatch(request, resultingClientId, clientId) {
		const given = typeof request === 'string' ? new WorkerRequest(request) : request
		const event = new FetchEvent(given, resultingClientId, clientId)
		this.scope.dispatchEvent(event)
		event.over = true
		return event
	}

	// ask returns the promise of the worker's answer, or undefined if it leaves
	// the request to the browser.
	ask(request) {
		return this.dispatch(request).answer
	}

	// get is what a page gets for a request, which the browser sends if the worker
	// leaves it alone or lets it go: a status and a body, or that it failed.
	async get(request, turns = 0) {
		const given = typeof request === 'string' ? new WorkerRequest(request) : request
		const again = given.clone()
		const { answer, work } = this.dispatch(given)
		const outcome = await (answer ?? this.browser.fetch(again.clone())).catch((error) => error)
		await Promise.all(work)
		await idle()
		if (outcome instanceof Error) return outcome.name
		if (outcome.status === 307) {
			assert.equal(outcome.headers.get('Location'), again.url)
			assert.ok(turns < 20, 'too many redirects')
			return this.get(again, turns + 1)
		}
		return `${outcome.status} ${await outcome.text()}`
	}

	// visit has a tab arrive at the app, and resolves when the worker is done with it.
	async visit(path, { tab = 'tab', cache = 'default' } = {}) {
		const { work } = this.dispatch(navigation(path, cache), tab)
		await Promise.all(work)
		await idle()
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

const FAILED = 'TypeError'

const post = (path, body, headers = { 'Content-Type': 'application/json' }) =>
	new WorkerRequest(path, { method: 'POST', body, headers })

const upload = (path, body = 'file') => post(path, body, { 'Content-Type': 'image/png' })

const navigation = (path, cache = 'default', destination = 'document', method = 'GET') =>
	Object.defineProperties(new WorkerRequest(path, { cache, method }), {
		mode: { value: 'navigate' },
		destination: { value: destination },
	})

const withoutCookies = (path) => new WorkerRequest(path, { credentials: 'omit' })

const onlyIfCached = (path) => new WorkerRequest(path, { mode: 'same-origin', cache: 'only-if-cached' })

// answering is an app whose worker answers everything, and notes what it sees.
const answering =
	(answer, saw = []) =>
	(self) =>
		self.addEventListener('fetch', (event) => {
			saw.push(new URL(event.request.url).pathname)
			event.respondWith(answer(event.request, self))
		})

// relaying is an app whose worker fetches everything itself.
const relaying = answering((request, self) => self.fetch(request))

// shell is an app whose worker answers visits alone.
const shell = (self) =>
	self.addEventListener('fetch', (event) => {
		if (event.request.mode === 'navigate') event.respondWith(new Response('app'))
	})

const chromium = { userAgentData: {} }

// ---- With a good session ----

test('the first request waits for the probe, and the next ones are left to the browser', async () => {
	const browser = new Browser()
	const worker = browser.start()
	assert.equal(await worker.get('/a'), '200 answer to /a')
	assert.deepEqual(browser.seen, [PROBE, 'GET /a'])
	for (const request of ['/b', upload('/c'), new WorkerRequest('/d', { method: 'HEAD' })]) {
		assert.equal(worker.ask(request), undefined)
	}
	await idle()
	assert.deepEqual(browser.seen, [PROBE, 'GET /a'])
})

test('what waits is let go by a redirect to its own URL', async () => {
	const { status, headers } = await new Browser().start().ask('/a?b=c')
	assert.deepEqual([status, headers.get('Location')], [307, absolute('/a?b=c')])
})

test('many requests wait for one probe', async () => {
	const browser = new Browser()
	const worker = browser.start()
	await Promise.all(['/a', '/b', '/c'].map((path) => worker.get(path)))
	assert.equal(browser.count(PROBE), 1)
})

test('the probe goes past every cache, and follows nothing', async () => {
	const browser = new Browser()
	let probe
	browser.onrequest = () => {
		probe ??= browser.last
	}
	await browser.start().ask('/a')
	const { mode, credentials, cache, redirect } = probe
	assert.deepEqual([mode, credentials, cache, redirect], ['cors', 'same-origin', 'no-store', 'manual'])
})

test('a session whose end is not known is trusted for six seconds, and looked at again after three', async () => {
	const browser = new Browser()
	const worker = browser.start()
	await worker.get('/a')
	browser.pass(3 * SECOND)
	assert.deepEqual(worker.dispatch('/b').work.length, 0)
	browser.pass(1)
	const { answer, work } = worker.dispatch('/c')
	assert.equal(answer, undefined)
	assert.equal(work.length, 1)
	await Promise.all(work)
	assert.equal(browser.count(PROBE), 2)
	browser.pass(6 * SECOND - 1)
	assert.equal(worker.ask('/d'), undefined)
	await idle()
	browser.pass(6 * SECOND)
	assert.notEqual(worker.ask('/e'), undefined)
})

test('a session whose end is known is trusted until two seconds before it', async () => {
	const browser = new Browser()
	browser.validity = 600
	browser.begin()
	const worker = browser.start({ startPath: '' })
	await worker.get('/a')
	for (let passed = 0; passed < 590; passed += 10) {
		browser.pass(10 * SECOND)
		const { answer, work } = worker.dispatch('/b')
		assert.equal(answer, undefined)
		await Promise.all(work)
	}
	browser.pass(8 * SECOND - 1)
	assert.equal(worker.ask('/c'), undefined)
	await idle()
	// Looked at so late, it is trusted for half a second more.
	browser.pass(SECOND / 2)
	assert.notEqual(worker.ask('/d'), undefined)
})

test('in the last two seconds of a session requests get through', async () => {
	const browser = new Browser()
	browser.validity = 1
	browser.begin()
	assert.equal(await browser.start().get('/a'), '200 answer to /a')
	assert.deepEqual(browser.seen, [PROBE, 'GET /a'])
})

for (const [what, jump] of [
	['a clock that is set forward', (browser) => (browser.now += MINUTE)],
	['a clock that is set back', (browser) => (browser.now -= MINUTE)],
	['a clock that is set back by a second', (browser) => (browser.now -= SECOND)],
	['a machine that has slept', (browser) => (browser.now += 3 * SECOND)],
]) {
	test(`${what} ends the trust`, async () => {
		const browser = new Browser()
		browser.validity = 3600
		browser.begin()
		const worker = browser.start()
		await worker.get('/a')
		jump(browser)
		assert.notEqual(worker.ask('/b'), undefined)
	})
}

test('a clock that is an hour off, fast or slow, makes no difference', async () => {
	for (const off of [60 * MINUTE, -60 * MINUTE]) {
		const browser = new Browser()
		browser.off = off
		browser.validity = 600
		browser.begin()
		const worker = browser.start({ startPath: '' })
		await worker.get('/a')
		browser.pass(598 * SECOND - 1)
		const { answer, work } = worker.dispatch('/b')
		assert.equal(answer, undefined)
		await Promise.all(work)
		browser.pass(SECOND / 2)
		assert.notEqual(worker.ask('/c'), undefined)
		await idle()

		browser.expire(false)
		browser.pass(SECOND)
		for (const [after, trips] of [
			[0, 1],
			[5 * MINUTE - 1, 1],
			[1, 2],
		]) {
			browser.pass(after)
			assert.equal(await browser.start().get('/d'), FAILED)
			assert.equal(browser.tab.visits.length, trips)
		}
	}
})

test('a machine that sleeps while a probe is under way does not believe how long the session lasts', async () => {
	const browser = new Browser()
	browser.validity = 3600
	browser.begin()
	const release = browser.hold(`${REFRESH}?probe`)
	const worker = browser.start()
	const answer = worker.get('/a')
	await idle()
	// The other clock stands still.
	browser.now += 30 * MINUTE
	release()
	assert.equal(await answer, '200 answer to /a')
	browser.pass(SECOND / 2)
	assert.notEqual(worker.ask('/b'), undefined)
})

test('clocks that are no more than two seconds apart are believed', async () => {
	const browser = new Browser()
	browser.validity = 3600
	browser.begin()
	const worker = browser.start()
	await worker.get('/a')
	browser.now += 2 * SECOND
	assert.equal(worker.ask('/b'), undefined)
})

test('what goes to the refresh path or to the auth server ends the trust', async () => {
	for (const path of [REFRESH, '/auth/sign_out', navigation('/auth/callback?code=a')]) {
		const browser = new Browser()
		const worker = browser.start()
		await worker.get('/a')
		worker.ask(path)
		assert.notEqual(worker.ask('/b'), undefined)
	}
})

test('what the probe has told of a session that may have changed since is asked anew', async () => {
	const browser = new Browser()
	const worker = browser.start()
	const release = browser.hold(`${REFRESH}?probe`)
	const answer = worker.get('/a')
	await idle()
	worker.ask('/auth/sign_out')
	browser.expire(true)
	release()
	assert.equal(await answer, '200 answer to /a')
	assert.deepEqual(browser.seen, [PROBE, PROBE, RENEWAL, PROBE, 'GET /a'])
})

test("what is at another origin's path of the same name is the app's, and ends no trust", async () => {
	const browser = new Browser()
	const saw = []
	const worker = browser.start({
		app: (self) => self.addEventListener('fetch', ({ request }) => saw.push(request.url)),
	})
	await worker.get('/a')
	const url = `https://other.example.com${REFRESH}`
	assert.equal(worker.ask(url), undefined)
	assert.equal(saw.at(-1), url)
	assert.equal(worker.ask('/b'), undefined)
})

test('a new run of the worker trusts nothing', async () => {
	const browser = new Browser()
	await browser.start().get('/a')
	assert.notEqual(browser.start().ask('/a'), undefined)
})

test('a visit is looked at beside, so that what the page asks for need not wait', async () => {
	const browser = new Browser()
	const worker = browser.start()
	assert.equal(worker.ask(navigation('/')), undefined)
	await idle()
	assert.deepEqual(browser.seen, [PROBE])
	assert.equal(worker.ask('/a'), undefined)
})

test('visits, other origins, only-if-cached, and what goes without cookies are left to the network', async () => {
	const browser = new Browser()
	const worker = browser.start()
	for (const request of [
		navigation('/a', 'default', 'iframe'),
		new WorkerRequest(`https://other.example.com${REFRESH}`),
		onlyIfCached('/a'),
		withoutCookies('/a'),
		new WorkerRequest('/a', { method: 'POST', credentials: 'omit' }),
	]) {
		assert.equal(worker.ask(request), undefined)
	}
	await idle()
	assert.deepEqual(browser.seen, [])
})

test('what no worker is to touch is left alone', async () => {
	const browser = new Browser()
	const worker = browser.start()
	for (const request of [
		post('/a', 'body', { 'ngsw-bypass': '' }),
		new WorkerRequest('/a', { headers: { 'NGSW-Bypass': 'true' } }),
		'/a?ngsw-bypass',
		'/a?b&ngsw-bypass=true',
	]) {
		assert.equal(worker.ask(request), undefined)
	}
	assert.notEqual(worker.ask('/a?b=ngsw-bypass'), undefined)
})

test('what the app cancels or has used up is left to the browser', async () => {
	for (const use of [(event) => event.preventDefault(), (event) => event.request.text()]) {
		const browser = new Browser()
		const worker = browser.start({ app: (self) => self.addEventListener('fetch', use) })
		assert.equal(worker.ask(post('/a', 'body')), undefined)
		await idle()
		assert.deepEqual(browser.seen, [])
	}
})

test('the refresh path and the auth paths are left to the network, past the app', async () => {
	const saw = []
	const browser = new Browser()
	const worker = browser.start({ app: answering(() => new Response('app'), saw), authPaths: ['/auth', '/o/x'] })
	await idle()
	for (const path of [REFRESH, `${REFRESH}?rd=/`, '/auth', '/auth/', '/auth/start?rd=/', '/o/x/y']) {
		assert.equal(worker.ask(path), undefined, path)
		assert.equal(worker.ask(navigation(path)), undefined, path)
	}
	assert.deepEqual(saw, [])
	for (const path of [`${REFRESH}/a`, `${REFRESH}x`, '/authx', '/x/auth', '/o', '/Auth']) {
		assert.equal(await worker.get(path), '200 app', path)
	}
	assert.deepEqual(browser.seen, [])
})

test('an edit is relayed, whatever is trusted', async () => {
	for (const [request, sent] of [
		[post('/a', 'body'), 'POST /a body'],
		[post('/a', 'body', { 'Content-Type': 'text/plain;charset=UTF-8' }), 'POST /a body'],
		[post('/a', 'a=b', { 'Content-Type': 'application/x-www-form-urlencoded' }), 'POST /a a=b'],
		[post('/a', 'body', { 'Content-Type': 'application/actual-sync' }), 'POST /a body'],
		[post('/a', 'body', { 'Content-Type': 'application/json;profile="image/png"' }), 'POST /a body'],
		[new WorkerRequest('/a', { method: 'DELETE' }), 'DELETE /a'],
	]) {
		const browser = new Browser()
		const worker = browser.start()
		await worker.get('/first')
		const { answer } = worker.dispatch(request)
		assert.equal((await answer).status, 200)
		assert.deepEqual(browser.seen.slice(2), [sent])
	}
})

test('the first edit goes at once, and what comes while it is on its way waits for the probe', async () => {
	const browser = new Browser()
	const release = browser.hold('/slow')
	const worker = browser.start()
	const slow = worker.get(post('/slow', 'one'))
	await idle()
	const others = ['/b', '/c'].map((path) => worker.get(post(path, 'two')))
	await Promise.all(others)
	assert.deepEqual(browser.seen, ['POST /slow one', PROBE, 'POST /b two', 'POST /c two'])
	release()
	assert.equal(await slow, '200 answer to one')
	// Now none is on its way.
	browser.seen = []
	browser.pass(MINUTE)
	await worker.get(post('/d', 'three'))
	assert.deepEqual(browser.seen, ['POST /d three'])
})

const bodies = [
	['a form with files', 'multipart/form-data; boundary=a'],
	['a picture', 'image/png'],
	['a video', 'Video/MP4'],
	['bytes', 'application/octet-stream'],
	['bytes of no type', undefined],
]
// The engines, and whether a body of a type comes through where its request is let go.
const engines = [
	[chromium, () => true],
	[
		{ userAgent: 'Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0' },
		(type) => !type.startsWith('multipart/'),
	],
	[
		{
			userAgent:
				'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15',
		},
		() => false,
	],
	[
		{
			userAgent:
				'Mozilla/5.0 (iPhone; like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/150.0 Safari/605.1.15',
		},
		() => false,
	],
]
const sending = (type) =>
	new WorkerRequest('/a', { method: 'PUT', body: new Uint8Array([97]), headers: type ? { 'Content-Type': type } : {} })

for (const [what, type] of bodies) {
	test(`${what} to upload: left to the browser while the session is trusted`, async () => {
		const browser = new Browser()
		const worker = browser.start()
		await worker.get('/first')
		assert.equal(worker.ask(sending(type)), undefined)
	})

	test(`${what} to upload: let go in engines where it comes through, and else sent once`, async () => {
		for (const [userAgent, comesThrough] of engines) {
			const browser = new Browser()
			browser.userAgent = userAgent
			const { status } = await browser.start().ask(sending(type))
			// A body of no type may be a stream, which cannot be sent twice.
			const isLetGo = type !== undefined && comesThrough(type)
			assert.equal(status, isLetGo ? 307 : 200)
			assert.deepEqual(browser.seen, isLetGo ? [PROBE] : [PROBE, 'PUT /a a'])
		}
	})
}

test('a request for events is no edit, whatever its method', async () => {
	const browser = new Browser()
	const worker = browser.start()
	await worker.get('/first')
	assert.equal(
		worker.ask(post('/a', 'body', { 'Content-Type': 'application/json', Accept: 'text/event-stream' })),
		undefined,
	)
})

test('what must not follow a redirect is not let go by one', async () => {
	for (const redirect of ['manual', 'error']) {
		const browser = new Browser()
		const answer = await browser.start().ask(new WorkerRequest('/a', { redirect }))
		assert.equal(answer.status, 200)
		assert.deepEqual(browser.seen, [PROBE, 'GET /a'])
	}
})

test('a login that is preloaded is not asked for twice', async () => {
	const browser = new Browser()
	const worker = browser.start()
	const preloaded = new Response('callback')
	const visit = (request, preloadResponse) => {
		const event = new FetchEvent(request)
		event.preloadResponse = Promise.resolve(preloadResponse)
		worker.scope.dispatchEvent(event)
		return event.answer
	}
	// Before it is known, and once the app has wanted it.
	assert.equal(await visit(navigation('/auth/callback?code=a'), preloaded), preloaded)
	browser.preloads = true
	await worker.visit('/')
	for (const path of [REFRESH, '/auth/callback?code=a']) {
		assert.equal(await visit(navigation(path), preloaded), preloaded)
	}
	assert.equal(visit(Object.defineProperty(post('/auth/callback', 'a'), 'mode', { value: 'navigate' })), undefined)
	assert.equal(visit(new WorkerRequest('/auth/a')), undefined)
	// The app has changed its mind.
	const { status, headers } = await visit(navigation('/auth/callback?code=a'))
	assert.deepEqual([status, headers.get('Location')], [307, absolute('/auth/callback?code=a')])
	assert.equal(visit(navigation('/auth/callback?code=a')), undefined)
})

test('a login that Chromium asks for beside a worker that starts is not asked for twice', async () => {
	const browser = new Browser()
	browser.userAgent = chromium
	browser.visited = () => new Response('callback')
	const callback = navigation('/auth/callback?code=a')
	// The real fetch gets what was asked for if it is given the very request.
	const { answer } = browser.start().dispatch(callback)
	assert.equal(await (await answer).text(), 'callback')
	assert.deepEqual(browser.seen, ['GET /auth/callback?code=a'])
	const { status, headers } = await browser.start().ask(navigation(`${REFRESH}?login`))
	assert.deepEqual([status, headers.get('Location')], [307, absolute(`${REFRESH}?login`)])
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

test("a refusal that is not the plugin's is passed on", async () => {
	for (const [status, challenge] of [
		[401, undefined],
		[401, 'Basic realm="Reauth "'],
		[401, 'Reauthx y="z"'],
		[403, 'Reauth realm="z"'],
	]) {
		const browser = new Browser()
		const headers = challenge ? { 'WWW-Authenticate': challenge } : {}
		const answer = Object.defineProperty(new Response('', { status, headers }), 'url', { value: absolute('/a') })
		browser.fetch = async () => answer
		assert.equal(await browser.start({ app: relaying }).ask('/a'), answer)
		assert.equal(await browser.start().ask(post('/a', 'body')), answer)
	}
})

test('a failed request fails', async () => {
	const browser = new Browser()
	browser.lost.add('/a')
	const worker = browser.start()
	assert.equal(await worker.get('/a'), FAILED)
	assert.equal(await worker.get(post('/a', 'body')), FAILED)
	assert.deepEqual(browser.seen, [PROBE, 'GET /a', 'POST /a body'])
})

for (const [what, break_] of [
	['cannot be reached', (browser) => browser.lost.add(`${REFRESH}?probe`)],
	['is broken', (browser) => (browser.broken = true)],
	['is another than the plugin, with a page', (browser) => (browser.stranger = () => new Response('<!doctype html>'))],
	[
		'is another than the plugin, with some JSON',
		(browser) => (browser.stranger = () => Response.json({ active: 'yes' })),
	],
	[
		'is another than the plugin, with an error',
		(browser) => (browser.stranger = () => Response.json({ active: false }, { status: 404 })),
	],
]) {
	test(`where the server ${what}, requests go as without the script, and nobody is sent anywhere`, async () => {
		const browser = new Browser()
		break_(browser)
		const worker = browser.start()
		const status = browser.broken ? 502 : 200
		assert.match(await worker.get('/a'), new RegExp(`^${status} `))
		assert.match(await worker.get(upload('/b')), new RegExp(`^${status} `))
		assert.match(await worker.get(post('/c', 'body')), new RegExp(`^${status} `))
		assert.equal(browser.count(PROBE), 1)
		// It is asked again after a while.
		browser.pass(3 * SECOND)
		await worker.get('/a')
		assert.equal(browser.count(PROBE), 2)
		assert.equal(browser.count(RENEWAL), 0)
		assert.deepEqual(browser.tab.visits, [])
	})
}

test('what waited for a slow probe gets through', async () => {
	for (const prepare of [
		() => {},
		(browser) => {
			browser.broken = true
		},
		(browser) => {
			browser.validity = 60
			browser.begin()
		},
	]) {
		const browser = new Browser()
		prepare(browser)
		browser.slowness = 9 * SECOND
		await browser.start().get('/a')
		assert.deepEqual(browser.seen, [PROBE, 'GET /a'])
	}
})

test('a known end is as near as the probe was slow', async () => {
	const browser = new Browser()
	browser.validity = 60
	browser.begin()
	const worker = browser.start({ startPath: '' })
	let told
	browser.onrequest = () => {
		told ??= browser.end
		browser.pass(5 * SECOND)
	}
	await worker.get('/a')
	browser.onrequest = undefined
	browser.pass(told - browser.now - 2 * SECOND)
	assert.notEqual(worker.ask('/b'), undefined)
})

test('a probe whose answer stops in the middle is given up like one that does not come', async () => {
	const browser = new Browser()
	browser.stranger = () => new Response(new ReadableStream())
	const worker = browser.start()
	const answer = worker.get('/a')
	await idle()
	assert.deepEqual(
		worker.timers.map(({ limit }) => limit),
		[10 * SECOND],
	)
	worker.ask(navigation('/'))
	answer.catch(() => {})
})

test('a probe that does not end is given up after ten seconds', async () => {
	const browser = new Browser()
	browser.hold(`${REFRESH}?probe`)
	const worker = browser.start()
	const answer = worker.get('/a')
	await idle()
	worker.end(10 * SECOND)
	assert.equal(await answer, '200 answer to /a')
	assert.deepEqual(worker.timers, [])
})

// ---- Renewing ahead ----

test('a session whose end is known is renewed before it, while somebody looks', async () => {
	for (const [validity, span, step] of [
		[20, 4.5, SECOND],
		[600, 60, 20 * SECOND],
	]) {
		const browser = new Browser()
		browser.validity = validity
		browser.begin()
		const worker = browser.start()
		const poll = async () => {
			assert.equal(await worker.get('/poll'), '200 answer to /poll')
		}
		await poll()
		const begun = browser.end
		while (browser.end === begun) {
			browser.pass(step / 2)
			await poll()
		}
		assert.ok(begun - 2 * SECOND - browser.now <= span * SECOND, `${begun - browser.now} ms before`)
		for (let passed = 0; passed < 10 * validity * SECOND; passed += step) {
			browser.pass(step)
			await poll()
		}
		assert.equal(browser.count(RENEWAL), 0)
		assert.ok(browser.count(AHEAD) < 16, `${browser.count(AHEAD)} renewals ahead`)
	}
})

test('an edit renews ahead like any other request', async () => {
	const browser = new Browser()
	browser.validity = 60
	browser.begin()
	const worker = browser.start()
	await worker.get('/a')
	browser.pass(50 * SECOND)
	await worker.get(post('/b', 'body'))
	assert.equal(browser.count(AHEAD), 1)
})

// What is relayed tells nothing of the session but that it is good.
const relays = [
	['edits', (worker) => worker.get(post('/a', 'body'))],
	["fetches of the app's worker", (worker) => worker.scope.fetch('/a')],
]

for (const [what, send] of relays) {
	const begin = (validity, settings) => {
		const browser = new Browser()
		browser.validity = validity
		browser.begin()
		return [browser, browser.start(settings)]
	}
	const sends = async (browser, worker, passed = 0) => {
		browser.pass(passed)
		assert.ok(await send(worker))
		await idle()
	}

	test(`an app that makes nothing but ${what} has its session renewed ahead`, async () => {
		const [browser, worker] = begin(5 * 60)
		for (let passed = 0; passed < 4; passed++) await sends(browser, worker, passed * SECOND)
		assert.equal(browser.count(PROBE), 1)
		await sends(browser, worker, 4 * MINUTE)
		assert.equal(browser.count(AHEAD), 1)
		// A new run knows how long a session lasts, and need not see the whole of one.
		browser.pass(4.5 * MINUTE)
		await sends(browser, browser.start())
		assert.equal(browser.count(AHEAD), 2)
	})

	test(`${what} of an app are not looked after where that leads to nothing`, async () => {
		const [endless, worker] = begin()
		for (let i = 0; i < 9; i++) await sends(endless, worker, 2 * SECOND)
		assert.equal(endless.count(PROBE), 1)
		const [browser, without] = begin(60, { startPath: '' })
		await sends(browser, without)
		assert.equal(browser.count(PROBE), 0)
		// Nothing is asked beside a wait for the person either.
		browser.expire(false)
		browser.open.add('/a')
		await browser.start().get('/b')
		browser.tab.visibilityState = 'hidden'
		const before = browser.count(PROBE)
		await sends(browser, browser.start(), 5 * SECOND)
		assert.equal(browser.count(PROBE), before)
	})

	test(`${what} of an app are looked after again where nobody could tell, or somebody else has renewed`, async () => {
		const [browser, worker] = begin(60)
		browser.broken = true
		await send(worker)
		await idle()
		browser.broken = false
		await sends(browser, worker, 2 * SECOND)
		assert.equal(browser.count(PROBE), 1)
		await sends(browser, worker, 2 * SECOND)
		assert.equal(browser.count(PROBE), 2)
		browser.pass(56 * SECOND)
		browser.begin()
		await sends(browser, worker)
		assert.equal(browser.count(PROBE), 3)
	})
}

test("what the app's worker uploads is not asked about while the session is trusted", async () => {
	const browser = new Browser()
	browser.validity = 60
	browser.begin()
	const worker = browser.start()
	for (let tries = 0; tries < 3; tries++) await worker.scope.fetch(upload('/a'))
	assert.equal(browser.count(PROBE), 1)
})

test('nothing is renewed ahead for tabs that nobody looks at, where there is no path for it, or without an end', async () => {
	for (const [visibilityState, startPath, validity] of [
		['hidden', START, 60],
		['visible', '', 60],
		['visible', START, undefined],
	]) {
		const browser = new Browser()
		browser.validity = validity
		browser.begin()
		browser.tab.visibilityState = visibilityState
		const worker = browser.start({ startPath })
		await worker.get('/a')
		browser.pass(50 * SECOND)
		await worker.get('/b')
		assert.ok(!browser.seen.some((line) => line.includes('?rd=')))
	}
})

test('a session is renewed ahead for a tab that somebody looks at, beside others that nobody does', async () => {
	const browser = new Browser()
	browser.validity = 60
	browser.begin()
	browser.tabs = [new Tab({ id: 'hidden', visibilityState: 'hidden' }), browser.tab]
	const worker = browser.start()
	await worker.get('/a')
	browser.pass(50 * SECOND)
	await worker.get('/b')
	assert.equal(browser.count(AHEAD), 1)
})

test('a renewal ahead in vain is not made again before the end', async () => {
	const browser = new Browser()
	browser.validity = 60
	browser.begin()
	browser.renewable = false
	const worker = browser.start()
	await worker.get('/a')
	browser.pass(46 * SECOND)
	for (let passed = 0; passed < 11; passed++) {
		browser.pass(SECOND)
		await worker.get('/b')
	}
	assert.equal(browser.count(AHEAD), 1)
	assert.deepEqual(browser.tab.visits, [])
})

// ---- After the end ----

test('what is not trusted meets no refusal: it waits for the renewal', async () => {
	for (const request of ['/a', new WorkerRequest('/a', { redirect: 'manual' }), upload('/a', '/a')]) {
		const browser = new Browser()
		browser.expire(true)
		const { method } = typeof request === 'string' ? { method: 'GET' } : request
		assert.equal(await browser.start().get(request), '200 answer to /a')
		assert.deepEqual(browser.seen, [PROBE, RENEWAL, PROBE, method === 'GET' ? 'GET /a' : 'POST /a /a'])
		assert.deepEqual(browser.tab.visits, [])
	}
})

test('a refused edit is sent again after a renewal, as it was', async () => {
	const browser = new Browser()
	browser.expire(true)
	const request = new WorkerRequest('/sync?x=1', {
		method: 'PUT',
		body: 'body',
		headers: { 'X-Actual-Token': 't' },
	})
	assert.equal(await browser.start().get(request), '200 answer to body')
	assert.deepEqual(browser.seen, ['PUT /sync?x=1 t body', RENEWAL, PROBE, 'PUT /sync?x=1 t body'])
	assert.deepEqual(browser.tab.visits, [])
})

test('an edit is saved from an end that comes early', async () => {
	const browser = new Browser()
	browser.validity = 3600
	browser.begin()
	const worker = browser.start()
	await worker.get('/a')
	browser.expire(true)
	assert.equal(await worker.get(post('/b', 'body')), '200 answer to body')
	assert.deepEqual(browser.seen.slice(2), ['POST /b body', RENEWAL, PROBE, 'POST /b body'])
})

test('an end that comes early is noticed beside what is left to the browser', async () => {
	const browser = new Browser()
	browser.validity = 3600
	browser.begin()
	const worker = browser.start()
	await worker.get('/a')
	browser.pass(4 * SECOND)
	browser.expire(true)
	assert.equal(await worker.get('/b'), '401 {"status":"error"}')
	assert.equal(await worker.get('/b'), '200 answer to /b')
})

test('the renewal goes with cookies, past every cache, to whatever origin it is sent', async () => {
	const browser = new Browser()
	browser.expire(true)
	await browser.start().ask('/a')
	const { mode, credentials, cache, redirect } = browser.renewal
	assert.deepEqual([mode, credentials, cache, redirect], ['no-cors', 'include', 'no-store', 'follow'])
})

test('many refused edits wait for one renewal, and one of them gets a 401', async () => {
	const browser = new Browser()
	browser.expire(true)
	const release = browser.hold(REFRESH)
	const worker = browser.start()
	const paths = ['/a', '/b', '/c', '/d']
	const answers = paths.map((path) => worker.get(post(path, 'body')))
	await idle()
	assert.deepEqual(browser.seen.toSorted(), [RENEWAL, PROBE, 'POST /a body'])
	release()
	assert.deepEqual(
		await Promise.all(answers),
		paths.map(() => '200 answer to body'),
	)
	assert.equal(browser.count(RENEWAL), 1)
})

test('every time the session ends it is renewed', async () => {
	const browser = new Browser()
	const worker = browser.start()
	for (const path of ['/a', '/b']) {
		browser.expire(true)
		assert.equal(await worker.get(post(path, 'body')), '200 answer to body')
	}
	assert.equal(browser.count(RENEWAL), 2)
})

test('what left before a renewal ended is only sent again', async () => {
	const browser = new Browser()
	browser.expire(true)
	const release = browser.hold('/slow')
	const worker = browser.start()
	const slow = worker.get(post('/slow', 'body'))
	await idle()
	assert.equal(await worker.get('/a'), '200 answer to /a')
	release()
	assert.equal(await slow, '200 answer to body')
	assert.deepEqual(browser.seen, ['POST /slow body', PROBE, RENEWAL, PROBE, 'GET /a', 'POST /slow body'])
})

test('what left before a renewal ended, and then met the next end of the session, is renewed', async () => {
	const browser = new Browser()
	browser.expire(true)
	const release = browser.hold('/slow')
	const worker = browser.start()
	const slow = worker.get(post('/slow', 'body'))
	await idle()
	assert.equal(await worker.get('/a'), '200 answer to /a')
	browser.expire(true)
	release()
	assert.equal(await slow, '200 answer to body')
	assert.deepEqual(browser.seen.slice(5), ['POST /slow body', RENEWAL, PROBE, 'POST /slow body'])
	assert.deepEqual(browser.tab.visits, [])
})

test('a probe from before a renewal says nothing about what came of it', async () => {
	const browser = new Browser()
	browser.expire(true)
	const worker = browser.start()
	browser.clock = 1
	const release = browser.hold(`${REFRESH}?probe`)
	const { work } = worker.dispatch(navigation('/'))
	await idle()
	browser.hold(`${REFRESH}?probe`)()
	browser.clock = 2
	assert.equal(await worker.get(post('/a', 'body')), '200 answer to body')
	release()
	await Promise.all(work)
	assert.equal(worker.ask('/b'), undefined)
})

test('a renewal in vain serves nobody', async () => {
	for (const silent of [true, false]) {
		const browser = new Browser()
		browser.tab.visibilityState = 'hidden'
		browser.expire(false)
		const release = browser.hold('/slow')
		const worker = browser.start({ silent })
		const slow = worker.get(post('/slow', 'body'))
		await idle()
		assert.equal(await worker.get('/a'), FAILED)
		release()
		assert.equal(await slow, FAILED)
		assert.equal(browser.count('POST /slow body'), 1)
	}
})

test('nothing is asked or sent beside a renewal', async () => {
	const browser = new Browser()
	browser.expire(true)
	const release = browser.hold(REFRESH)
	const worker = browser.start()
	const answers = [worker.get('/a')]
	await idle()
	browser.pass(4 * SECOND)
	answers.push(worker.get('/b'), worker.get(post('/c', 'body')))
	await idle()
	assert.deepEqual(browser.seen, [PROBE, RENEWAL])
	release()
	assert.deepEqual(await Promise.all(answers), ['200 answer to /a', '200 answer to /b', '200 answer to body'])
})

test('where nobody can tell, nothing is asked again for three seconds', async () => {
	const browser = new Browser()
	browser.broken = true
	const worker = browser.start({ app: relaying })
	for (let i = 0; i < 2; i++) assert.equal(await worker.get(upload('/a')), '502 broken')
	assert.equal(browser.count(PROBE), 1)
	browser.pass(3 * SECOND)
	assert.equal(await worker.get(upload('/a')), '502 broken')
	assert.equal(browser.count(PROBE), 2)
})

test('a renewal in vain is made once more', async () => {
	for (const [vain, answer, visits] of [
		[1, '200 answer to body', []],
		[2, FAILED, [VISIT]],
	]) {
		const browser = new Browser()
		browser.expire(true)
		browser.vain = vain
		assert.equal(await browser.start().get(post('/a', 'body')), answer)
		assert.deepEqual(browser.seen.slice(0, 5), ['POST /a body', RENEWAL, PROBE, RENEWAL, PROBE])
		assert.deepEqual(browser.tab.visits, visits)
	}
})

test('what cannot be settled fails as it would without the script', async () => {
	for (const [request, sent] of [
		['/a', 'GET /a'],
		[post('/a', 'body'), 'POST /a body'],
		[upload('/a'), 'POST /a file'],
	]) {
		const browser = new Browser()
		browser.expire(false)
		assert.equal(await browser.start().get(request), FAILED)
		assert.equal(browser.count(sent), 1)
		assert.deepEqual(browser.tab.visits, [VISIT])
	}
})

test('a replay that fails is no missing login', async () => {
	const browser = new Browser()
	browser.expire(true)
	browser.onrequest = (path) => path === REFRESH && browser.lost.add('/a')
	assert.equal(await browser.start().get(post('/a', 'body')), FAILED)
	assert.equal(browser.count(RENEWAL), 1)
	assert.deepEqual(browser.tab.visits, [])
})

test('an edit that was served and then redirected to a refusal is not done twice', async () => {
	const browser = new Browser()
	browser.open.add('/public')
	browser.redirects.add('/public')
	for (const renewable of [true, false]) {
		browser.expire(renewable)
		browser.seen = []
		const worker = browser.start()
		assert.equal(await worker.get(post('/public', 'body')), FAILED)
		assert.equal(browser.count('POST /public body'), 1)
	}
})

test('a refusal that comes late does not undo a renewal', async () => {
	const browser = new Browser()
	const worker = browser.start()
	await worker.get('/first')
	browser.expire(true)
	browser.clock++
	const late = browser.hold('/late')
	const later = browser.hold('/later')
	const slow = ['/late', '/later'].map((path) => worker.get(post(path, 'slow')))
	await idle()
	browser.onrequest = () => browser.clock++
	const release = browser.hold(`${REFRESH}?probe`)
	const answer = worker.get(post('/a', 'body'))
	await idle()
	// The renewal has come to its end, and only the probe has not.
	browser.clock++
	late()
	await idle()
	release()
	assert.equal(await answer, '200 answer to body')
	later()
	assert.deepEqual(await Promise.all(slow), ['200 answer to slow', '200 answer to slow'])
	assert.equal(worker.ask('/b'), undefined)
	assert.equal(browser.count(RENEWAL), 1)
	assert.deepEqual(browser.tab.visits, [])
})

test('a session that ends again and again takes three tries at most', async () => {
	const browser = new Browser()
	browser.expire(true)
	browser.onrequest = (path) => path === '/a' && browser.expire(true)
	assert.equal(await browser.start().get(post('/a', 'body')), FAILED)
	assert.equal(browser.count('POST /a body'), 3)
	assert.deepEqual(browser.tab.visits, [])
})

test('a renewal that is blocked on its way becomes one trip at once', async () => {
	const browser = new Browser()
	browser.expire(false)
	browser.lost.add(REFRESH)
	const worker = browser.start()
	assert.equal(await worker.get('/a'), FAILED)
	assert.equal(browser.count(RENEWAL), 1)
	assert.deepEqual(browser.tab.visits, [VISIT])
})

test('where no login goes in silence, no renewal is tried, and the trip begins at once', async () => {
	const browser = new Browser()
	browser.expire(false)
	const worker = browser.start({ silent: false })
	assert.equal(await worker.get('/a'), FAILED)
	assert.equal(browser.count(RENEWAL), 0)
	assert.deepEqual(browser.tab.visits, [VISIT])
	// Somebody has logged in.
	browser.begin()
	browser.pass(MINUTE / 2)
	assert.equal(await worker.get('/a'), '200 answer to /a')
})

test('a renewal that does not end is given up after half a minute', async () => {
	const browser = new Browser()
	browser.expire(true)
	browser.hold(REFRESH)
	const worker = browser.start()
	const answer = worker.get('/a')
	await idle()
	worker.end(MINUTE / 2)
	assert.equal(await answer, FAILED)
	assert.deepEqual(worker.timers, [])
})

test('where nobody can tell after a renewal, an edit fails, and nobody is sent anywhere', async () => {
	const browser = new Browser()
	browser.expire(true)
	browser.onrequest = (path) => path === REFRESH && browser.lost.add(`${REFRESH}?probe`)
	const worker = browser.start()
	assert.equal(await worker.get(post('/a', 'body')), FAILED)
	assert.deepEqual(browser.tab.visits, [])
	browser.lost.clear()
	browser.pass(3 * SECOND)
	assert.equal(await worker.get(post('/a', 'body')), '200 answer to body')
})

test('an integrity that the refusal does not have is no other failure', async () => {
	const browser = new Browser()
	browser.expire(true)
	const worker = browser.start()
	const request = new WorkerRequest('/a', { method: 'POST', integrity: 'sha256-a' })
	assert.equal(await worker.get(request), '200 answer to /a')
	assert.equal(browser.count(RENEWAL), 1)
	// It is another failure where the session is good.
	browser.altered = true
	const before = browser.count('POST /a')
	assert.equal(await worker.get(new WorkerRequest('/a', { method: 'POST', integrity: 'sha256-a' })), FAILED)
	assert.equal(browser.count(RENEWAL), 1)
	assert.equal(browser.count('POST /a'), before + 1)
})

test('what is aborted meanwhile is not sent again', async () => {
	const browser = new Browser()
	browser.expire(true)
	const release = browser.hold(REFRESH)
	const worker = browser.start()
	const controller = new AbortController()
	const answer = worker.ask(new WorkerRequest('/a', { method: 'POST', body: 'body', signal: controller.signal }))
	await idle()
	controller.abort()
	release()
	await assert.rejects(answer, { name: 'AbortError' })
	assert.equal(browser.count('POST /a body'), 1)
})

// ---- While both sessions have ended ----

test('nothing is asked for a while after a renewal in vain, longer each time', async () => {
	for (const restart of [false, true]) {
		const browser = new Browser()
		browser.tab.visibilityState = 'hidden'
		browser.expire(false)
		let worker = browser.start()
		assert.equal(await worker.get('/poll'), FAILED)
		for (const wait of [30, 60, 120, 240, 480, 960, 1800, 1800, 1800]) {
			const before = browser.count(RENEWAL)
			for (const [time, renewals] of [
				[wait * SECOND - 1, 0],
				[1, 1],
			]) {
				browser.pass(time)
				if (restart) worker = browser.start()
				assert.equal(await worker.get('/poll'), FAILED)
				assert.equal(browser.count(RENEWAL), before + renewals)
			}
		}
		// Once before it was known that the path is refused.
		assert.equal(browser.count('GET /poll'), 1)
		assert.equal(browser.count(RENEWAL), 11)
	}
})

test('many refused paths are not asked for again', async () => {
	const browser = new Browser()
	browser.tab.visibilityState = 'hidden'
	browser.expire(false)
	const worker = browser.start()
	const paths = Array.from({ length: 250 }, (_, i) => `/poll/${i}`)
	const poll = async (some) => {
		const before = browser.seen.length
		await Promise.all(some.map((path) => worker.get(post(path, 'body'))))
		return browser.seen.slice(before).filter((line) => line.startsWith('POST')).length
	}
	await poll(['/first'])
	assert.equal(await poll(paths.slice(0, 100)), 100)
	assert.equal(await poll(Array(250).fill(paths[0])), 0)
	assert.equal(await poll(paths.slice(0, 100)), 0)
	// So many are kept, and no more.
	await poll(paths)
	assert.equal(await poll(paths.slice(-200)), 0)
	assert.equal(await poll(paths.slice(0, 10)), 10)
})

test('a login that nobody here could see is noticed while somebody looks', async () => {
	const browser = new Browser()
	browser.expire(false)
	const worker = browser.start()
	for (let minutes = 0; minutes < 3 * 60; minutes += 3) {
		await worker.get('/poll')
		browser.pass(3 * MINUTE)
	}
	browser.session = true
	browser.pass(MINUTE)
	assert.equal(await worker.get('/poll'), '200 answer to /poll')
})

test('while nothing is asked a look is taken twice a minute at most, and only for somebody who looks', async () => {
	for (const [visibilityState, looks] of [
		['visible', 1],
		['hidden', 0],
	]) {
		const browser = new Browser()
		browser.expire(false)
		const worker = browser.start()
		for (let tries = 0; tries < 3; tries++) {
			browser.pass(6 * MINUTE)
			await worker.get('/poll')
		}
		browser.tab.visibilityState = visibilityState
		const before = browser.count(PROBE)
		for (let seconds = 0; seconds < 60; seconds += 5) {
			browser.pass(5 * SECOND)
			assert.equal(await worker.get('/poll'), FAILED)
		}
		assert.equal(browser.count(PROBE), before + looks)
	}
})

test('what needs no session is served all the same', async () => {
	const browser = new Browser()
	browser.open.add('/public')
	browser.expire(false)
	const worker = browser.start()
	assert.equal(await worker.get('/a'), FAILED)
	for (const request of ['/public', post('/public', 'body'), upload('/public')]) {
		assert.match(await worker.get(request), /^200 /)
	}
	assert.equal(browser.count(RENEWAL), 2)
})

// A tab that is at the login has renewals wait as well, so none is sent there.

for (const [what, tell] of [
	['a visit to the auth server', (worker) => worker.ask(navigation('/auth/callback'))],
	['a visit that the app answers', (worker) => worker.visit('/')],
	[
		'a visit to the refresh path that ends well',
		(worker) => {
			worker.browser.begin()
			return worker.ask(navigation(REFRESH))
		},
	],
]) {
	test(`${what} ends the wait`, async () => {
		for (const restart of [false, true]) {
			const browser = new Browser()
			browser.expire(false)
			browser.tab.visibilityState = 'hidden'
			let worker = browser.start({ app: shell })
			await worker.get(post('/a', 'body'))
			browser.renewable = true
			assert.equal(await worker.get(post('/a', 'body')), FAILED)
			browser.tab.visibilityState = 'visible'
			await tell(worker)
			await idle()
			if (restart) worker = browser.start({ app: shell })
			assert.equal(await worker.get(post('/a', 'body')), '200 answer to body')
		}
	})
}

test('what a page asks for right after a visit is served if that finds the session good', async () => {
	for (const script of ['/sw.js', `${REFRESH}?reauth-worker`]) {
		const browser = new Browser()
		browser.expire(false)
		const worker = browser.start({ script })
		assert.equal(await worker.get(post('/a', 'body')), FAILED)
		browser.session = true
		// The page may ask before its tab is there.
		browser.tabs = []
		const release = browser.hold(`${REFRESH}?probe`)
		const visit = worker.visit('/')
		await idle()
		const answer = worker.get(post('/a', 'body'))
		await idle()
		release()
		assert.equal(await worker.wait(answer), '200 answer to body')
		await worker.wait(visit)
	}
})

test('a visit that nobody looks at does not end the wait', async () => {
	const browser = new Browser()
	browser.tab.visibilityState = 'hidden'
	browser.expire(false)
	const worker = browser.start({ app: shell })
	await worker.get('/a')
	const renewals = browser.count(RENEWAL)
	await worker.visit('/')
	assert.equal(browser.count(RENEWAL), renewals)
})

test('a clock that was set back does not make the wait longer', async () => {
	const browser = new Browser()
	browser.expire(false)
	browser.tab.visibilityState = 'hidden'
	const worker = browser.start()
	await worker.get('/a')
	browser.renewable = true
	browser.now -= MINUTE
	assert.equal(await worker.get('/a'), '200 answer to /a')
})

test('once the session is good it is as if nothing had been', async () => {
	const browser = new Browser()
	browser.expire(false)
	await browser.start().get('/a')
	browser.session = true
	const worker = browser.start()
	worker.ask(navigation(REFRESH))
	await idle()
	assert.equal(await worker.get('/a'), '200 answer to /a')
	browser.expire(false)
	worker.ask(REFRESH)
	assert.equal(await worker.get('/a'), FAILED)
	assert.equal(browser.count('GET /a'), 3)
	assert.equal(browser.count(RENEWAL), 4)
})

test('the next run does not know of a wait that has ended', async () => {
	const browser = new Browser()
	browser.tab.visibilityState = 'hidden'
	browser.expire(false)
	const worker = browser.start()
	for (let i = 0; i < 2; i++) {
		assert.equal(await worker.get('/a'), FAILED)
		browser.pass(31 * SECOND)
	}
	// Somebody looks, who has logged in, half a minute before the end.
	browser.session = true
	browser.tab.visibilityState = 'visible'
	assert.equal(await worker.get('/a'), '200 answer to /a')
	browser.tab.visibilityState = 'hidden'
	browser.expire(true)
	assert.equal(await browser.start().get('/a'), '200 answer to /a')
})

test('the next run does not know of a wait that has ended before storage told of it', async () => {
	const browser = new Browser()
	browser.expire(false)
	await browser.start().get('/a')
	const probes = browser.count(PROBE)
	browser.session = true
	browser.caches.stuck.add('match')
	const worker = browser.start({ startPath: '' })
	const answer = question(worker, 'REAUTH_RENEW')
	await idle()
	assert.equal(browser.count(PROBE), probes + 1)
	browser.caches.free()
	assert.equal((await answer).good, true)
	browser.expire(true)
	assert.equal(await browser.start().get('/a'), '200 answer to /a')
})

// ---- Trips ----

test('many requests send the visible tab to the login once', async () => {
	const browser = new Browser()
	browser.expire(false)
	const worker = browser.start()
	const requests = ['/a', post('/b', 'body'), upload('/c')]
	assert.deepEqual(await Promise.all(requests.map((request) => worker.get(request))), [FAILED, FAILED, FAILED])
	assert.deepEqual(browser.tab.visits, [VISIT])
	assert.equal(await worker.get('/a'), FAILED)
	assert.deepEqual(browser.tab.visits, [VISIT])
})

test('the tab that had the focus last is sent, and neither a hidden one, a frame, nor one at the login', async () => {
	const browser = new Browser()
	browser.tabs = [
		new Tab({ visibilityState: 'hidden' }),
		new Tab({ frameType: 'nested' }),
		new Tab({ url: `${ORIGIN}${REFRESH}?login` }),
		new Tab({ url: `${ORIGIN}/auth/sign_out` }),
		new Tab({ frameType: 'auxiliary' }),
		new Tab(),
	]
	browser.expire(false)
	await browser.start().get('/a')
	assert.deepEqual(
		browser.tabs.map((tab) => tab.visits.length),
		[0, 0, 0, 0, 1, 0],
	)
})

test('a frame is shown that a login is needed where there is no tab to send, once', async () => {
	const browser = new Browser()
	browser.tabs = [new Tab({ frameType: 'nested', visibilityState: 'hidden' }), new Tab({ frameType: 'nested' })]
	browser.expire(false)
	const worker = browser.start()
	for (let i = 0; i < 3; i++) assert.equal(await worker.get('/a'), FAILED)
	assert.deepEqual(
		browser.tabs.map(({ visits }) => visits),
		[[], [VISIT]],
	)
})

test('where no tab could be sent, the next one is sent at once', async () => {
	const browser = new Browser()
	browser.tab.visibilityState = 'hidden'
	browser.expire(false)
	const worker = browser.start()
	await worker.get('/a')
	assert.deepEqual(browser.tab.visits, [])
	browser.tab.visibilityState = 'visible'
	await worker.get('/a')
	assert.deepEqual(browser.tab.visits, [VISIT])
})

test('a tab that will not go makes no difference to the caller', async () => {
	const browser = new Browser()
	browser.tabs.push({ type: 'sharedworker', controlled: true })
	browser.tab.navigate = async () => {
		throw new TypeError('Cannot navigate')
	}
	browser.expire(false)
	assert.equal(await browser.start().get('/a'), FAILED)
	assert.equal(browser.tab.messages, 1)
})

test('a page with shared workers is sent a message once it has gone', async () => {
	for (const shared of [[], [{ type: 'sharedworker', controlled: true }]]) {
		const browser = new Browser()
		browser.tabs.push(...shared)
		browser.expire(false)
		await browser.start().get('/a')
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
			browser.pass(after)
			if (restart) worker = browser.start()
			await worker.get('/a')
			return browser.tab.visits.length
		}
		assert.equal(await refused(0), 1)
		assert.equal(await refused(5 * MINUTE - 1), 1)
		assert.equal(await refused(1), 2)
		assert.equal(await refused(MINUTE), 2)
	}
})

test('once the session was good, the next trip need not wait', async () => {
	for (const restart of [false, true]) {
		const browser = new Browser()
		browser.expire(false)
		const worker = browser.start()
		await worker.get('/a')
		const later = restart ? browser.start() : worker
		browser.session = true
		await later.visit('/')
		browser.expire(false)
		browser.pass(MINUTE)
		await later.get('/b')
		assert.deepEqual(browser.tab.visits, [VISIT, VISIT])
		// The second trip counts like the first.
		browser.pass(MINUTE)
		await browser.start().get('/b')
		assert.equal(browser.tab.visits.length, 2)
	}
})

test('a broken auth server, and what needs no session, do not end the pause', async () => {
	const browser = new Browser()
	browser.open.add('/public')
	browser.expire(false)
	const worker = browser.start()
	await worker.get('/a')
	await worker.get('/public')
	browser.broken = true
	worker.ask(navigation(REFRESH))
	browser.pass(MINUTE)
	await worker.get('/a')
	browser.broken = false
	browser.pass(MINUTE)
	await worker.get('/a')
	assert.deepEqual(browser.tab.visits, [VISIT])
})

test('a clock that was set back does not make the pause longer', async () => {
	const browser = new Browser()
	browser.expire(false)
	const worker = browser.start()
	await worker.get('/a')
	browser.now -= 5 * MINUTE
	await worker.get('/a')
	assert.deepEqual(browser.tab.visits, [VISIT, VISIT])
})

test('a visit that the app answers itself leads to the login, within the pause', async () => {
	const browser = new Browser()
	browser.expire(false)
	const worker = browser.start({ app: answering(() => new Response('app')) })
	await worker.visit('/')
	assert.deepEqual(browser.tab.visits, [VISIT])
	await worker.wait(worker.visit('/'))
	assert.deepEqual(browser.tab.visits, [VISIT])
	await worker.visit('/', { cache: 'no-cache' })
	await worker.visit('/', { cache: 'reload' })
	assert.deepEqual(browser.tab.visits, [VISIT, VISIT, VISIT])
})

test('a reload leads to the login at once, beside a tab that may be passing through it as well', async () => {
	const browser = new Browser()
	browser.expire(false)
	const worker = browser.start({ app: shell })
	worker.ask(navigation(START))
	const { now } = browser
	await worker.wait(worker.visit('/', { cache: 'reload' }))
	assert.deepEqual(browser.tab.visits, [VISIT])
	assert.equal(browser.now, now)
})

test('a visit is settled once it has become a tab', async () => {
	const browser = new Browser()
	browser.expire(true)
	browser.tabs = []
	const worker = browser.start({ app: answering(() => new Response('app')) })
	const visit = worker.visit('/')
	await idle()
	worker.end(SECOND / 4)
	await idle()
	assert.equal(browser.count(RENEWAL), 0)
	browser.tabs = [browser.tab]
	worker.end(SECOND / 4)
	await visit
	assert.equal(browser.count(RENEWAL), 1)
})

test('a visit that the app answers itself renews the session in silence, a reload too', async () => {
	for (const cache of ['default', 'no-cache', 'reload']) {
		const browser = new Browser()
		browser.expire(true)
		const worker = browser.start({ app: answering(() => new Response('app')) })
		await worker.visit('/', { cache })
		assert.ok(browser.session)
		assert.deepEqual(browser.tab.visits, [])
	}
})

test('a visit that the network leads to the login is not renewed beside that', async () => {
	const browser = new Browser()
	browser.expire(true)
	// Whether the app's worker leaves it to the network or has its answer from there.
	await browser.start().visit('/')
	assert.deepEqual(browser.seen.splice(0), [PROBE])
	const worker = browser.start({ app: answering(() => new Response(null, { status: 303 })) })
	await worker.wait(worker.visit('/', { tab: 'none' }))
	assert.deepEqual(browser.seen, [PROBE])
})

// A renewal would end the login of a tab that is away, where the auth server keeps one in
// a cookie.
for (const [what, leave] of [
	['that the worker has sent', (worker) => worker.get('/a')],
	['that the network leads there', (worker) => worker.wait(worker.visit('/', { tab: 'none' }))],
	['that goes to the refresh path', (worker) => worker.ask(navigation(`${REFRESH}?rd=/a`))],
	['that goes where a login starts', (worker) => worker.ask(navigation(`${START}?rd=/a`))],
]) {
	test(`renewals wait while a tab is at the login ${what}`, async () => {
		for (const restart of [false, true]) {
			const browser = new Browser()
			browser.expire(false)
			let worker = browser.start()
			await leave(worker)
			if (restart) worker = browser.start()
			const visits = browser.tab.visits.length
			const renewals = browser.count(RENEWAL)
			// As long as it may only be passing, what is asked for waits.
			const asked = browser.now
			assert.equal(await worker.wait(worker.get(post('/b', 'body'))), FAILED)
			assert.ok(browser.now - asked <= 5 * SECOND)
			browser.pass(MINUTE)
			assert.equal(await worker.wait(worker.get('/b')), FAILED)
			assert.equal(browser.count(RENEWAL), renewals)
			assert.equal(browser.tab.visits.length, visits)
			// Nobody has come back.
			browser.renewable = true
			browser.pass(10 * MINUTE)
			assert.equal(await worker.get('/b'), '200 answer to /b')
		}
	})
}

test('what is asked for while a tab passes through the login is served once that is over', async () => {
	const browser = new Browser()
	browser.expire(false)
	const worker = browser.start()
	worker.ask(navigation(`${REFRESH}?login`))
	const answer = worker.get(post('/a', 'body'))
	const cached = worker.cache.add('/cached')
	// It may take almost five seconds.
	const asked = browser.now
	browser.onrequest = () => {
		if (browser.now - asked >= 4.75 * SECOND) browser.begin()
	}
	assert.equal(await worker.wait(answer), '200 answer to body')
	await worker.wait(cached)
	browser.onrequest = undefined
	assert.deepEqual(worker.added, ['/cached'])
	assert.deepEqual(browser.tab.visits, [])
	assert.equal(browser.count(RENEWAL), 0)
	// With the next end all is as ever.
	browser.expire(true)
	browser.pass(MINUTE)
	assert.equal(await worker.get(post('/a', 'body')), '200 answer to body')
	assert.equal(browser.count(RENEWAL), 1)
})

test('while nobody can tell what a tab at the login has come to, requests go as without the script', async () => {
	const browser = new Browser()
	browser.expire(false)
	const worker = browser.start()
	worker.ask(navigation(`${REFRESH}?login`))
	const answer = worker.get(post('/a', 'body'))
	await idle()
	browser.broken = true
	const asked = browser.now
	assert.equal(await worker.wait(answer), FAILED)
	assert.ok(browser.now - asked < SECOND)
	assert.equal(await worker.get('/a'), '502 broken')
	assert.deepEqual(browser.tab.visits, [])
})

test('a visit that the network answers with a page is at no login', async () => {
	const browser = new Browser()
	browser.expire(true)
	const worker = browser.start()
	await worker.visit('/public')
	assert.equal(await worker.get('/a'), '200 answer to /a')
	assert.equal(browser.count(RENEWAL), 1)
	// Nor does it end the pause after a trip.
	browser.expire(false)
	worker.ask(REFRESH)
	await worker.get('/a')
	await worker.visit('/public')
	await worker.wait(worker.get('/a'))
	assert.deepEqual(browser.tab.visits, [VISIT])
})

test("a visit is on its way until its page asks for something, or is a tab of the app's", async () => {
	const browser = new Browser()
	browser.expire(true)
	browser.tabs = []
	const worker = browser.start({ app: shell })
	const visit = worker.visit('/', { tab: 'new' })
	await idle()
	const answer = worker.get(post('/a', 'body'))
	await idle()
	assert.equal(browser.count(RENEWAL), 0)
	worker.dispatch('/page.js', undefined, 'new')
	await worker.wait(answer)
	assert.equal(browser.count(RENEWAL), 1)
	await worker.wait(visit)
	// It was no departure either.
	browser.expire(true)
	browser.pass(MINUTE)
	await worker.get(post('/a', 'body'))
	assert.equal(browser.count(RENEWAL), 2)
})

test('a visit that was left once its page had asked for something is not looked for much longer', async () => {
	const browser = new Browser()
	browser.expire(true)
	browser.tabs = []
	const worker = browser.start({ app: shell })
	const visited = browser.now
	const visit = worker.visit('/', { tab: 'new' })
	await idle()
	worker.dispatch('/page.js', undefined, 'new')
	await worker.wait(visit)
	assert.ok(browser.now - visited <= 2 * SECOND)
	// One that is there a little later is looked after as any other: a reload is a wish.
	browser.expire(false)
	worker.ask(REFRESH)
	await worker.get('/a')
	const late = worker.visit('/', { tab: 'late', cache: 'reload' })
	await idle()
	worker.dispatch(withoutCookies('/page.js'), undefined, 'late')
	await idle()
	browser.tabs = [new Tab({ id: 'late' })]
	await worker.wait(late)
	assert.equal(browser.tabs[0].visits.length, 1)
})

test('a visit is still looked for when another tab has left for the login', async () => {
	const browser = new Browser()
	browser.expire(false)
	browser.tabs = []
	const worker = browser.start({ app: shell })
	const visit = worker.visit('/', { tab: 'new', cache: 'reload' })
	await idle()
	worker.ask(navigation(START))
	for (let passed = 0; passed < 3 * SECOND; passed += SECOND / 4) {
		await idle()
		worker.end(SECOND / 4)
	}
	browser.tabs = [new Tab({ id: 'new' })]
	await worker.wait(visit)
	assert.equal(browser.tabs[0].visits.length, 1)
})

test('nothing waits long for a visit, nor at all for a tab that was sent after a renewal in vain', async () => {
	for (const [leave, longest] of [
		[(worker) => void worker.visit('/', { tab: 'none' }), 5 * SECOND],
		[(worker) => worker.get('/sent'), 0],
	]) {
		const browser = new Browser()
		browser.expire(false)
		const worker = browser.start()
		await leave(worker)
		await idle()
		worker.ask(navigation('/auth/callback'))
		const asked = browser.now
		assert.equal(await worker.wait(worker.get('/a')), FAILED)
		// The visit looks for its tab as often, by the same clock.
		assert.ok(browser.now - asked <= 2.2 * longest)
	}
})

test('a visit that is on its way is known to another run of the worker, and forgotten once it is there', async () => {
	const browser = new Browser()
	browser.expire(false)
	browser.tabs = []
	const worker = browser.start()
	const visit = worker.visit('/', { tab: 'new' })
	await idle()
	const update = browser.start({ recovering: true, active: worker })
	assert.equal(await update.wait(update.extend('install')), 'rejected')
	assert.equal(browser.count(RENEWAL), 0)
	browser.tabs = [new Tab({ id: 'new' })]
	await worker.wait(visit)
	browser.renewable = true
	browser.pass(MINUTE)
	assert.equal(await browser.start().get('/a'), '200 answer to /a')
	assert.equal(browser.count(RENEWAL), 1)
})

test('of two visits one is still known to another run when the other is there', async () => {
	const browser = new Browser()
	browser.expire(false)
	browser.tabs = []
	const worker = browser.start()
	for (const tab of ['one', 'two']) worker.visit('/', { tab })
	await idle()
	worker.dispatch(withoutCookies('/page.js'), undefined, 'one')
	await idle()
	const update = browser.start({ recovering: true, active: worker })
	assert.equal(await update.wait(update.extend('install')), 'rejected')
	assert.equal(browser.count(RENEWAL), 0)
})

test('a visit that has led to a good session is no departure', async () => {
	for (const restart of [false, true]) {
		const browser = new Browser()
		browser.expire(true)
		let worker = browser.start()
		const visit = worker.visit('/', { tab: 'none' })
		await idle()
		browser.begin()
		await worker.wait(worker.get('/a'))
		await worker.wait(visit)
		browser.expire(true)
		browser.pass(MINUTE)
		if (restart) worker = browser.start()
		assert.equal(await worker.get('/a'), '200 answer to /a')
		assert.equal(browser.count(RENEWAL), 1)
	}
})

test('visits at the same time, or of which one leads to the next, are at no login once they are tabs', async () => {
	const browser = new Browser()
	browser.expire(true)
	browser.tabs = []
	const worker = browser.start()
	const visits = ['one', 'two', 'two'].map((tab) => worker.visit('/public', { tab }))
	await idle()
	browser.tabs = [new Tab({ id: 'one' }), new Tab({ id: 'two' })]
	await Promise.all(visits.map((visit) => worker.wait(visit)))
	assert.equal(await worker.get(post('/a', 'body')), '200 answer to body')
	assert.equal(browser.count(RENEWAL), 1)
})

test("a tab that shows a page of the auth server's on this host is at the login", async () => {
	const browser = new Browser()
	browser.expire(true)
	browser.tab.url = `${ORIGIN}/auth/sign_in`
	const worker = browser.start()
	await worker.visit('/')
	browser.pass(MINUTE)
	assert.equal(await worker.get('/a'), FAILED)
	assert.equal(browser.count(RENEWAL), 0)
})

test('a page that is asked for beforehand is no tab at the login', async () => {
	for (const path of ['/next', START, `${REFRESH}?login`]) {
		const browser = new Browser()
		browser.expire(true)
		const worker = browser.start()
		const request = navigation(path)
		request.headers.set('Sec-Purpose', 'prefetch')
		worker.dispatch(request)
		await idle()
		assert.equal(await worker.wait(worker.get(post('/a', 'body'))), '200 answer to body', path)
		assert.equal(browser.count(RENEWAL), 1)
	}
})

test('a frame at the refresh path is no tab at the login', async () => {
	const browser = new Browser()
	browser.expire(true)
	const worker = browser.start()
	for (const path of [`${REFRESH}?login`, START]) worker.ask(navigation(path, 'default', 'iframe'))
	assert.equal(await worker.get('/a'), '200 answer to /a')
	assert.equal(browser.count(RENEWAL), 1)
})

test("a tab at the refresh path or at one of the auth server's that goes nowhere is at no login", async () => {
	for (const [path, method] of [
		[REFRESH],
		[`${REFRESH}?probe`],
		[`${REFRESH}?login&a`],
		[`${REFRESH}?a=rd`],
		[`${REFRESH}?login`, 'POST'],
		['/auth/sign_out?rd=/a'],
		['/auth/help?login'],
	]) {
		const browser = new Browser()
		browser.expire(true)
		const worker = browser.start()
		worker.ask(navigation(path, 'default', 'document', method))
		assert.equal(await worker.wait(worker.get('/a')), '200 answer to /a', path)
		assert.equal(browser.count(RENEWAL), 1)
	}
})

test("renewals wait while another app's tab is at the login", async () => {
	const browser = new Browser()
	const worker = browser.start()
	await worker.get('/a')
	const cache = await browser.caches.open('reauth')
	await cache.put(`${REFRESH}?trip`, Response.json({ time: browser.now }))
	browser.expire(true)
	browser.pass(MINUTE)
	assert.equal(await worker.get('/a'), FAILED)
	assert.equal(browser.count(RENEWAL), 0)
	assert.deepEqual(browser.tab.visits, [])
	browser.pass(5 * MINUTE)
	assert.equal(await worker.get('/a'), '200 answer to /a')
})

test('a renewal is not tried once more beside a tab that has left for the login', async () => {
	const browser = new Browser()
	browser.expire(false)
	const worker = browser.start()
	const release = browser.hold(REFRESH)
	const answer = worker.get('/a')
	await idle()
	worker.ask(navigation(START))
	release()
	assert.equal(await worker.wait(answer), FAILED)
	assert.equal(browser.count(RENEWAL), 1)
	assert.deepEqual(browser.tab.visits, [])
})

test('nothing is asked for half a minute after one has waited for a tab at the login', async () => {
	const browser = new Browser()
	browser.expire(false)
	browser.tab.visibilityState = 'hidden'
	const worker = browser.start()
	worker.ask(navigation(`${REFRESH}?login`))
	assert.equal(await worker.wait(worker.get('/a')), FAILED)
	for (const [time, asks] of [
		[30 * SECOND - 1, false],
		[1, true],
	]) {
		browser.pass(time)
		const before = browser.count(PROBE)
		assert.equal(await worker.wait(worker.get('/a')), FAILED)
		assert.equal(browser.count(PROBE) > before, asks)
	}
})

test('who waits for a tab at the login does not wait longer each time', async () => {
	const browser = new Browser()
	browser.expire(false)
	browser.tab.visibilityState = 'hidden'
	const worker = browser.start()
	worker.ask(navigation(`${REFRESH}?login`))
	for (let i = 0; i < 10; i++) {
		assert.equal(await worker.wait(worker.get('/a')), FAILED)
		browser.pass(30 * SECOND)
	}
	browser.renewable = true
	browser.pass(30 * SECOND)
	assert.equal(await worker.get('/a'), '200 answer to /a')
	assert.equal(browser.count(RENEWAL), 1)
})

test('where no login goes in silence, a path that is refused beside a good session makes no trip', async () => {
	const browser = new Browser()
	const worker = browser.start({ silent: false })
	browser.refused = '/admin'
	for (let i = 0; i < 3; i++) assert.equal(await worker.get(post('/admin', 'body')), FAILED)
	assert.deepEqual(browser.tab.visits, [])
	assert.equal(await worker.get('/a'), '200 answer to /a')
	assert.equal(browser.count(RENEWAL), 0)
})

// ---- With something before the plugin that replaces each 401 ----

const REPLACED = '401 error page'

// replacing is a browser behind an errors middleware of Traefik's, in which time passes.
const replacing = () => {
	const browser = new Browser()
	browser.replaces = true
	browser.onrequest = () => browser.clock++
	return browser
}

test('a refusal that was replaced is told by the probe', async () => {
	for (const settings of [{ app: relaying }, {}, { recovering: true }]) {
		const browser = replacing()
		browser.expire(true)
		const worker = browser.start(settings)
		assert.equal(await worker.get(post('/a', 'body')), '200 answer to body')
		assert.deepEqual(browser.seen, ['POST /a body', PROBE, RENEWAL, PROBE, 'POST /a body'])
		assert.deepEqual(browser.tab.visits, [])
		browser.expire(false)
		assert.equal(await worker.get(post('/b', 'body')), FAILED)
		assert.deepEqual(browser.tab.visits, [VISIT])
	}
})

test('a refusal that was replaced is told right after a session was seen to be good', async () => {
	const browser = replacing()
	const worker = browser.start()
	await worker.get('/a')
	browser.expire(true)
	assert.equal(await worker.get(post('/b', 'body')), '200 answer to body')
})

test("the app's own 401 passes, and is asked about for each path once in three seconds", async () => {
	for (const replaces of [true, false]) {
		const browser = replacing()
		browser.replaces = replaces
		browser.unauthorized.add('/a').add('/b')
		const worker = browser.start()
		for (const [path, probes] of [
			['/a', 1],
			['/a', 1],
			['/b', 2],
			['/a', 2],
		]) {
			assert.equal(await worker.get(post(path, 'body')), REPLACED)
			assert.equal(browser.count(PROBE), probes)
		}
		worker.end(3 * SECOND)
		assert.equal(await worker.get(post('/a', 'body')), REPLACED)
		assert.equal(browser.count(PROBE), 3)
		assert.equal(browser.count('POST /a body'), 4)
		assert.equal(browser.count(RENEWAL), 0)
		assert.deepEqual(browser.tab.visits, [])
	}
})

test('answers of one moment share the probe that tells whose 401 they are', async () => {
	const browser = replacing()
	const worker = browser.start()
	await worker.get('/first')
	const paths = ['/a', '/b', '/c']
	for (const path of paths) browser.unauthorized.add(path)
	assert.deepEqual(await Promise.all(paths.map((path) => worker.get(post(path, 'body')))), [
		REPLACED,
		REPLACED,
		REPLACED,
	])
	assert.equal(browser.count(PROBE), 2)
})

test('a replaced refusal that comes after a renewal is sent again, though the app itself has refused that path', async () => {
	const browser = replacing()
	browser.unauthorized.add('/slow')
	const worker = browser.start()
	assert.equal(await worker.get(post('/slow', 'body')), REPLACED)
	browser.unauthorized.clear()
	const release = browser.hold('/slow')
	browser.expire(true)
	const slow = worker.get(post('/slow', 'body'))
	await idle()
	assert.equal(await worker.get(post('/a', 'body')), '200 answer to body')
	release()
	assert.equal(await slow, '200 answer to body')
	assert.equal(browser.count('POST /slow body'), 3)
	assert.equal(browser.count(RENEWAL), 1)
})

test('a replaced refusal from before a login is sent again', async () => {
	for (const see of [(worker) => worker.visit('/'), () => {}]) {
		const browser = replacing()
		browser.expire(false)
		const worker = browser.start()
		assert.equal(await worker.get(post('/a', 'body')), FAILED)
		const release = browser.hold('/slow')
		const slow = worker.get(post('/slow', 'body'))
		await idle()
		browser.session = true
		await see(worker)
		release()
		assert.equal(await slow, '200 answer to body')
		assert.equal(browser.count('POST /slow body'), 2)
	}
})

test('a 401 of which nobody can tell whose it is passes', async () => {
	const browser = replacing()
	browser.lost.add(`${REFRESH}?probe`)
	browser.expire(true)
	const worker = browser.start()
	assert.equal(await worker.get(post('/a', 'body')), REPLACED)
	assert.equal(await worker.get(post('/b', 'body')), REPLACED)
	assert.equal(browser.count(PROBE), 1)
	assert.deepEqual(browser.tab.visits, [])
})

test('an edit that was served and then redirected to a replaced refusal is not done twice', async () => {
	const browser = replacing()
	browser.open.add('/public')
	browser.redirects.add('/public')
	browser.expire(true)
	assert.equal(await browser.start().get(post('/public', 'body')), FAILED)
	assert.equal(browser.count('POST /public body'), 1)
})

test("another's 401 is not asked about: it has a challenge, comes from elsewhere, or had no cookies to go by", async () => {
	for (const [url, headers, init] of [
		['/a', { 'WWW-Authenticate': 'Basic realm="a"' }],
		['https://other.example.com/a', {}],
		['/a', {}, { credentials: 'omit' }],
	]) {
		const browser = replacing()
		browser.session = false
		const answer = errorPage(absolute(url), headers)
		const asked = []
		browser.fetch = async (input) => {
			asked.push(input.url ?? input)
			return answer
		}
		// Where a session can be renewed ahead, any answer has its end looked for.
		assert.equal(await browser.start({ startPath: '' }).scope.fetch('/a', init), answer)
		assert.deepEqual(asked, [absolute('/a')])
	}
})

// ---- What the app's own worker fetches ----

test("the app's worker is never handed a refusal", async () => {
	for (const [input, init, sent] of [
		['/a', undefined, 'GET /a'],
		[new WorkerRequest('/a'), undefined, 'GET /a'],
		['/a', { method: 'POST', body: 'body' }, 'POST /a body'],
		[post('/a', 'body'), undefined, 'POST /a body'],
		['/a', { method: 'POST', body: new Blob(['file'], { type: 'image/png' }) }, 'POST /a file'],
	]) {
		const browser = new Browser()
		const worker = browser.start()
		browser.expire(true)
		const answer = await worker.scope.fetch(input instanceof Request ? input.clone() : input, init)
		assert.equal(answer.status, 200)
		assert.equal(browser.seen.at(-1), sent)
		browser.expire(false)
		worker.ask(REFRESH)
		await assert.rejects(worker.scope.fetch(input, init), { name: 'TypeError' })
		assert.equal(browser.tab.visits.length, 1)
	}
})

test("what the app's worker answers from the network is renewed", async () => {
	const browser = new Browser()
	browser.expire(true)
	const worker = browser.start({ app: relaying })
	assert.equal(await worker.get('/a'), '200 answer to /a')
	browser.expire(true)
	assert.equal(await worker.get(post('/b', 'body')), '200 answer to body')
	assert.equal(browser.count(RENEWAL), 2)
})

test("what the app's worker sends without cookies fails if it is refused, and nothing is renewed", async () => {
	const browser = new Browser()
	browser.open.add('/public')
	browser.expire(true)
	const { scope } = browser.start()
	assert.equal((await scope.fetch('/public', { credentials: 'omit' })).status, 200)
	await assert.rejects(scope.fetch('/a', { credentials: 'omit' }), { name: 'TypeError' })
	assert.equal(browser.count(RENEWAL), 0)
})

test("what the app's worker fetches of another origin or of the auth server's is its own", async () => {
	const browser = new Browser()
	browser.expire(true)
	const answer = refusal()
	browser.fetch = async () => answer
	const worker = browser.start()
	assert.equal(await worker.scope.fetch('https://other.example.com/a'), answer)
	await assert.rejects(worker.scope.fetch('/auth/a'), { name: 'TypeError' })
})

test('a fetch that cannot be made fails as ever', async () => {
	const { scope } = new Browser().start()
	await assert.rejects(scope.fetch('/a', { method: 'GET', body: 'body' }), { name: 'TypeError' })
})

test("the app's caches add what can be had after a renewal", async () => {
	for (const add of [(cache) => cache.add('/a'), (cache) => cache.addAll(['/a'])]) {
		const browser = new Browser()
		const worker = browser.start()
		await worker.get('/first')
		browser.expire(true)
		await add(worker.cache)
		assert.deepEqual(worker.added, ['/a'])
		browser.expire(false)
		await assert.rejects(add(worker.cache), { message: 'Request failed' })
		browser.session = true
		worker.ask(REFRESH)
		browser.lost.add('/a')
		const before = browser.count('GET /a')
		await assert.rejects(add(worker.cache), { message: 'Failed to fetch' })
		assert.equal(browser.count('GET /a'), before + 1)
		assert.deepEqual(worker.added, ['/a'])
	}
})

// ---- Listeners ----

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
		assert.equal(await worker.get('/a'), '200 app')
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

// ---- A worker's life ----

const isWaiting = async (worker) => {
	assert.equal(await worker.extend('install'), 'fulfilled')
	return worker.skipped === 0
}

test('the first worker takes over, in whatever scope', async () => {
	const browser = new Browser()
	for (const differences of [{}, { scope: `${ORIGIN}/sub/` }, { scope: `${ORIGIN}/sub/?x`, recovering: true }]) {
		const worker = browser.start(differences)
		const installed = worker.extend('install')
		worker.end(0)
		assert.equal(await installed, 'fulfilled')
		assert.equal(worker.skipped, 1)
		assert.equal(await worker.extend('activate'), 'fulfilled')
		assert.equal(await worker.get('/a'), '200 answer to /a')
	}
	assert.equal(browser.count(RENEWAL), 0)
})

test('an update waits where a worker with the refresh script is in charge, and the app hears nothing of it', async () => {
	const browser = new Browser()
	const heard = []
	const active = browser.start({ app: (self) => self.addEventListener('message', ({ data }) => heard.push(data)) })
	assert.ok(await isWaiting(browser.start({ active })))
	assert.deepEqual(heard, [])
	active.asActive().postMessage({ type: 'THE_APPS_OWN' }, [])
	active.asActive().postMessage(null, [])
	assert.deepEqual(heard, [{ type: 'THE_APPS_OWN' }, null])
})

test('a new worker takes over from one that has no refresh script, or cannot be asked, or is a recovery script', async () => {
	const browser = new Browser()
	for (const active of [
		{ asActive: () => ({ postMessage: () => {} }) },
		{
			asActive: () => ({
				postMessage: () => {
					throw new DOMException('It is gone', 'InvalidStateError')
				},
			}),
		},
		browser.start({ recovering: true }),
	]) {
		const worker = browser.start({ active })
		const installed = worker.extend('install')
		if (worker.timers[0]?.limit === 5 * SECOND) worker.end(5 * SECOND)
		assert.equal(await installed, 'fulfilled')
		assert.equal(worker.skipped, 1)
	}
})

test("the plugin's own worker makes way for one of the app's, and for a newer one of its own", async () => {
	const browser = new Browser()
	const active = browser.start({ script: `${REFRESH}?reauth-worker` })
	for (const script of ['/sw.js', `${REFRESH}?reauth-worker`]) {
		const worker = browser.start({ active, script })
		assert.equal(await worker.extend('install'), 'fulfilled')
		assert.equal(worker.skipped, 1)
	}
})

test("the plugin's own worker asks nothing beside a visit, and makes no renewal beside a login", async () => {
	const browser = new Browser()
	const worker = browser.start({ script: `${REFRESH}?reauth-worker` })
	browser.expire(false)
	await worker.visit('/a')
	assert.deepEqual(browser.seen, [])
	assert.equal(worker.updates, 0)
	browser.tab.visibilityState = 'hidden'
	assert.equal(await worker.get('/a'), FAILED)
	assert.equal(browser.count(RENEWAL), 2)
	assert.equal(worker.updates, 1)
	// One that the network leads to the login.
	await worker.wait(Promise.all(worker.dispatch(navigation('/a'), 'another').work))
	browser.pass(MINUTE)
	assert.equal(await worker.wait(worker.get('/a')), FAILED)
	await worker.visit(`${REFRESH}?login`)
	assert.equal(await worker.wait(worker.get('/a')), FAILED)
	assert.equal(browser.count(RENEWAL), 2)
})

test("the plugin's own worker looks for its next version once after a visit", async () => {
	const browser = new Browser()
	const worker = browser.start({ script: `${REFRESH}?reauth-worker` })
	for (let visits = 1; visits < 3; visits++) {
		await worker.visit('/a')
		for (const path of ['/a', '/b']) {
			browser.pass(3 * SECOND)
			await worker.get(path)
			assert.equal(worker.updates, visits)
		}
	}
	assert.deepEqual(worker.timers, [])
})

test("a visit with the plugin's own worker ends the wait, once it has come to a good session", async () => {
	const browser = new Browser()
	browser.tab.visibilityState = 'hidden'
	browser.expire(false)
	const worker = browser.start({ script: `${REFRESH}?reauth-worker` })
	assert.equal(await worker.get('/a'), FAILED)
	browser.session = true
	browser.tab.visibilityState = 'visible'
	await worker.visit('/a')
	assert.equal(await worker.get('/a'), '200 answer to /a')
})

test("a visit with the plugin's own worker is no trip any more once it has come to a good session", async () => {
	const browser = new Browser()
	const worker = browser.start({ script: `${REFRESH}?reauth-worker` })
	await worker.visit(`${REFRESH}?login`)
	await worker.visit('/a')
	browser.expire(true)
	browser.pass(6 * SECOND)
	assert.equal(await worker.get('/a'), '200 answer to /a')
	assert.equal(browser.count(RENEWAL), 1)
})

test('what a page has kept of its way to the login counts until the session is good', async () => {
	for (const script of ['/sw.js', `${REFRESH}?reauth-worker`]) {
		const browser = new Browser()
		const worker = browser.start({ script })
		const cache = await browser.caches.open('reauth')
		await cache.put('/_reauth?went', Response.json({ time: browser.now }))
		browser.expire(true)
		assert.equal(await worker.wait(worker.get('/a')), FAILED)
		assert.equal(browser.count(RENEWAL), 0)
		browser.session = true
		await worker.visit('/a')
		assert.equal(await worker.get('/a'), '200 answer to /a')
		browser.expire(true)
		browser.pass(6 * SECOND)
		assert.equal(await worker.get('/a'), '200 answer to /a')
		assert.equal(browser.count(RENEWAL), 1)
	}
})

test('what was kept of a way to the login is over once a new run finds the session good, which tells so', async () => {
	for (const [key, told] of [
		['went', []],
		['trip', ['back']],
	]) {
		const browser = new Browser()
		const cache = await browser.caches.open('reauth')
		await cache.put(`/_reauth?${key}`, Response.json({ time: browser.now }))
		const worker = browser.start()
		await worker.get('/a')
		assert.deepEqual(browser.told, told)
		const { renewed } = await question(worker, 'REAUTH_STATUS')
		assert.deepEqual(renewed, told.length > 0 ? { time: browser.now, why: 'visit' } : undefined)
		browser.expire(true)
		browser.pass(6 * SECOND)
		assert.equal(await worker.get('/a'), '200 answer to /a')
		assert.equal(browser.count(RENEWAL), 1)
	}
})

test('of two ways to the login the later one counts', async () => {
	const browser = new Browser()
	browser.expire(true)
	const cache = await browser.caches.open('reauth')
	await cache.put('/_reauth?went', Response.json({ time: browser.now }))
	browser.pass(4 * MINUTE)
	const worker = browser.start()
	worker.ask(navigation(START))
	await idle()
	browser.pass(2 * MINUTE)
	assert.equal(await worker.get('/a'), FAILED)
	assert.equal(browser.count(RENEWAL), 0)
})

test('what a page has kept of its way to the login is known beside a visit', async () => {
	const browser = new Browser()
	browser.expire(true)
	browser.tabs = []
	const worker = browser.start()
	worker.visit('/', { tab: 'new' })
	await idle()
	browser.pass(SECOND)
	const cache = await browser.caches.open('reauth')
	await cache.put('/_reauth?went', Response.json({ time: browser.now }))
	const { trip } = await question(worker, 'REAUTH_STATUS')
	assert.deepEqual(trip, { time: browser.now })
})

test('what a page has kept of its way to the login is over with the visit after it', async () => {
	const browser = new Browser()
	const worker = browser.start()
	await worker.get('/a')
	const cache = await browser.caches.open('reauth')
	await cache.put('/_reauth?went', Response.json({ time: browser.now }))
	await worker.visit('/a')
	browser.expire(true)
	browser.pass(6 * SECOND)
	assert.equal(await worker.get('/a'), '200 answer to /a')
	assert.equal(browser.count(RENEWAL), 1)
})

test("the plugin's own worker serves as well as one with an app's script behind it", async () => {
	const browser = new Browser()
	const worker = browser.start({ script: `${REFRESH}?reauth-worker` })
	assert.equal(await worker.get('/a'), '200 answer to /a')
	browser.expire(true)
	browser.pass(6 * SECOND)
	assert.equal(await worker.get(post('/a', 'edit')), '200 answer to edit')
	browser.expire(false)
	assert.equal(await worker.get(post('/a', 'edit')), FAILED)
	assert.deepEqual(browser.tab.visits, [VISIT])
})

test('a worker that takes over asks until it is active', async () => {
	const worker = new Browser().start()
	const installed = worker.extend('install')
	worker.end(0)
	assert.equal(await installed, 'fulfilled')
	for (const [state, skipped] of [
		['installing', 2],
		['waiting', 3],
		['active', 3],
	]) {
		Object.assign(worker.registration, { installing: null, waiting: null, [state]: { state } })
		worker.end(SECOND)
		assert.equal(worker.skipped, skipped, state)
	}
})

test('a recovery script renews the session, and leaves the worker in charge', async () => {
	const browser = new Browser()
	const active = browser.start()
	for (const lost of [[], [REFRESH]]) {
		browser.expire(true)
		browser.lost = new Set(lost)
		const update = browser.start({ recovering: true, active })
		assert.equal(await update.extend('install'), 'rejected')
		assert.equal(update.skipped, 0)
		assert.equal(browser.session, lost.length === 0)
	}
	assert.equal(browser.count(RENEWAL), 2)
	assert.deepEqual(browser.tab.visits, [])
})

test('a new worker serves the tabs that were there before', async () => {
	const browser = new Browser()
	browser.tab.controlled = false
	const worker = browser.start()
	assert.equal(await worker.extend('activate'), 'fulfilled')
	assert.ok(browser.tab.controlled)
	assert.deepEqual(browser.tab.visits, [])
})

test('a recovery script that takes over sends the tab to the login, and does not wait for it', async () => {
	const browser = new Browser()
	browser.tab.controlled = false
	const worker = browser.start({ recovering: true })
	assert.equal(await worker.extend('activate'), 'fulfilled')
	assert.deepEqual(browser.tab.visits, [VISIT])
	assert.equal(await browser.start({ recovering: true }).extend('activate'), 'fulfilled')
	assert.deepEqual(browser.tab.visits, [VISIT])
})

test("a recovery script looks for the app's own once the session is good, every two seconds", async () => {
	const browser = new Browser()
	browser.expire(false)
	const worker = browser.start({ recovering: true })
	const looks = async (after) => {
		browser.pass(after)
		worker.ask(REFRESH)
		await idle()
		await worker.get('/a')
		return worker.updates
	}
	assert.equal(await looks(0), 0)
	browser.session = true
	assert.equal(await looks(0), 1)
	assert.equal(await looks(2000 - 1), 1)
	assert.equal(await looks(1), 2)
	assert.equal(await looks(1000), 2)
	// A clock that was set back does not end that.
	browser.off = -60 * MINUTE
	assert.equal(await looks(2000), 3)
	const refresh = browser.start()
	await refresh.get('/a')
	assert.equal(refresh.updates, 0)
})

test("a recovery script goes on looking for the app's own while its page is idle, and not for ever", async () => {
	const browser = new Browser()
	const worker = browser.start({ recovering: true })
	await worker.get('/a')
	const passes = async (limit) => {
		browser.pass(limit)
		worker.end(limit)
		await idle()
	}
	// What was held asks once more when it is let go.
	for (const [looks, pause] of [3, 3, 6, 12, 24].entries()) {
		assert.equal(worker.updates, looks + 1)
		await passes(pause * SECOND)
	}
	assert.equal(worker.updates, 6)
	assert.deepEqual(worker.timers, [])
	// What a page asks for begins that anew, and many ask no more often than one.
	for (let i = 0; i < 9; i++) {
		browser.pass(4 * SECOND)
		await worker.get('/a')
		await idle()
	}
	const before = worker.updates
	assert.deepEqual(
		worker.timers.map(({ limit }) => limit),
		[3 * SECOND],
	)
	// What could not be installed, and a look that told nothing, do not end it.
	worker.registration.installing = {}
	await passes(3 * SECOND)
	worker.registration.installing = null
	browser.broken = true
	await passes(6 * SECOND)
	assert.equal(worker.updates, before)
	browser.broken = false
	await passes(12 * SECOND)
	assert.equal(worker.updates, before + 1)
	// A session that has ended does.
	browser.pass(4 * SECOND)
	await worker.get('/a')
	browser.expire(true)
	await passes(3 * SECOND)
	assert.deepEqual(worker.timers, [])
	assert.equal(browser.count(RENEWAL), 0)
})

test("a recovery script does not look for the app's own while there is a new one", async () => {
	for (const state of ['installing', 'waiting']) {
		const browser = new Browser()
		const worker = browser.start({ recovering: true })
		worker.registration[state] = {}
		await worker.get('/a')
		assert.equal(worker.updates, 0)
		// That was no look: the next one need not wait.
		worker.registration[state] = null
		worker.ask(REFRESH)
		await worker.get('/a')
		assert.equal(worker.updates, 1)
	}
})

test('a recovery script serves as well as any other', async () => {
	const browser = new Browser()
	browser.expire(true)
	assert.equal(await browser.start({ recovering: true }).get('/a'), '200 answer to /a')
})

test('a module worker does without a recovery script only', () => {
	// The script of a module worker has no this.
	const scope = new Scope()
	const run = (recovering) =>
		vm.runInNewContext(`'use strict'; (function () { return eval(source) })()`, {
			source,
			self: scope,
			Cache: class {},
			WorkerGlobalScope: class {},
			EventTarget,
			navigator: chromium,
			queueMicrotask,
			registration: {},
			caches: new Caches(),
			location: new URL('/sw.js', ORIGIN),
			BroadcastChannel: class {},
			setTimeout: () => {},
		})(REFRESH, [], '', true, recovering)
	run(false)
	assert.throws(() => run(true), { message: /module worker/ })
})

// ---- What is told ----

// question resolves to what a worker answers on the page that tells how things stand.
const question = async (worker, type) => {
	let answer
	worker.asActive().postMessage({ type }, [
		{
			postMessage: (data) => {
				answer = structuredClone(data)
			},
		},
	])
	for (let i = 0; i < 5; i++) await idle()
	return answer
}

test('what happens is told on a channel', async () => {
	const browser = new Browser()
	const worker = browser.start()
	await worker.get('/a')
	assert.deepEqual(browser.told, [])
	browser.expire(true)
	browser.pass(6 * SECOND)
	await worker.get('/a')
	assert.deepEqual(browser.told.splice(0), ['refused', 'renewed'])
	browser.expire(false)
	browser.pass(6 * SECOND)
	for (let i = 0; i < 3; i++) assert.equal(await worker.get('/a'), FAILED)
	assert.deepEqual(browser.told.splice(0), ['refused', 'login'])
	browser.pass(6 * MINUTE)
	assert.equal(await worker.get('/a'), FAILED)
	assert.equal(browser.count(RENEWAL), 4)
	assert.deepEqual(browser.told, [])
	browser.session = true
	await worker.visit('/a')
	assert.deepEqual(browser.told.splice(0), ['back'])
	await worker.get('/a')
	assert.deepEqual(browser.told, [])
})

test('a refusal is told once, also where something has happened since that may have ended it', async () => {
	const browser = new Browser()
	browser.tab.visibilityState = 'hidden'
	browser.expire(false)
	const worker = browser.start()
	assert.equal(await worker.get('/a'), FAILED)
	assert.deepEqual(browser.told.splice(0), ['refused', 'login'])
	worker.ask(REFRESH)
	assert.equal(await worker.get('/a'), FAILED)
	assert.deepEqual(browser.told, [])
})

test('a renewal ahead is told', async () => {
	const browser = new Browser()
	browser.validity = 40
	browser.begin()
	const worker = browser.start()
	await worker.get('/a')
	browser.pass(30 * SECOND)
	await worker.get('/a')
	assert.deepEqual(browser.told, ['renewed'])
})

test('a worker says how things stand', async () => {
	const browser = new Browser()
	const worker = browser.start()
	// Other versions of the script ask by this name.
	assert.equal(await question(worker, 'REAUTH_IN_CHARGE'), true)
	const { version, ...first } = await question(worker, 'REAUTH_STATUS')
	assert.match(version, /^v\d+\.\d+\.\d+$/)
	assert.deepEqual(first, {
		own: false,
		recovering: false,
		silent: true,
		pause: 0,
		renewed: undefined,
		why: undefined,
		trip: undefined,
	})
	browser.expire(true)
	await worker.get('/a')
	const silent = await question(worker, 'REAUTH_STATUS')
	assert.deepEqual([silent.renewed, silent.trip], [{ time: browser.now }, undefined])
	browser.expire(false)
	browser.pass(6 * SECOND)
	await worker.get('/a')
	browser.pass(MINUTE)
	const lost = await question(browser.start(), 'REAUTH_STATUS')
	assert.deepEqual([lost.why, lost.trip, lost.pause], ['login', { time: browser.now - MINUTE }, 4 * MINUTE])
	browser.session = true
	await worker.visit('/a')
	const back = await question(worker, 'REAUTH_STATUS')
	assert.deepEqual([back.renewed, back.trip, back.pause], [{ time: browser.now, why: 'login' }, undefined, 0])
	const own = await question(browser.start({ script: `${REFRESH}?reauth-worker`, silent: false }), 'REAUTH_STATUS')
	assert.deepEqual([own.own, own.silent], [true, false])
	assert.equal((await question(browser.start({ recovering: true }), 'REAUTH_STATUS')).recovering, true)
})

test('who asks how things stand and gives no port is told nothing, and that is no error', async () => {
	const { scope } = new Browser().start()
	const data = { type: 'REAUTH_STATUS' }
	const event = Object.assign(new ExtendableEvent('message', { cancelable: true }), { data, ports: [] })
	scope.dispatchEvent(event)
	await Promise.all(event.work)
	assert.equal(event.work.length, 1)
})

test('a renewal that did not get through is told from one that met a login', async () => {
	const browser = new Browser()
	browser.lost.add(REFRESH)
	browser.expire(true)
	const worker = browser.start()
	await worker.get('/a')
	assert.equal((await question(worker, 'REAUTH_STATUS')).why, 'policy')
	const other = new Browser()
	other.expire(true)
	const loud = other.start({ silent: false })
	await loud.get('/a')
	assert.equal((await question(loud, 'REAUTH_STATUS')).why, 'provider')
})

test('a person can have the session renewed, good or not, and is sent nowhere', async () => {
	const browser = new Browser()
	const worker = browser.start()
	await question(worker, 'REAUTH_RENEW')
	assert.equal(browser.count(AHEAD), 1)
	browser.expire(true)
	browser.pass(6 * SECOND)
	assert.equal((await question(worker, 'REAUTH_RENEW')).good, true)
	assert.equal(browser.count(RENEWAL), 1)
	browser.expire(false)
	browser.pass(6 * SECOND)
	const { good, why } = await question(worker, 'REAUTH_RENEW')
	assert.deepEqual([good, why, browser.tab.visits], [false, 'login', []])
	// Whoever has waited asks again at once.
	browser.renewable = true
	assert.equal((await question(worker, 'REAUTH_RENEW')).good, true)
	// Nothing is tried where nobody can tell, nor where a good session cannot be renewed.
	for (const broken of [true, false]) {
		const other = new Browser()
		other.broken = broken
		assert.equal((await question(other.start({ startPath: '' }), 'REAUTH_RENEW')).good, broken ? undefined : true)
		assert.deepEqual(other.seen, [PROBE])
	}
})

test('who looks how things stand is at no login, and ends no trust', async () => {
	const browser = new Browser()
	const worker = browser.start()
	await worker.get('/a')
	await worker.visit(`${REFRESH}?status`)
	assert.equal(worker.ask('/a'), undefined)
	assert.equal((await question(worker, 'REAUTH_STATUS')).trip, undefined)
})

// ---- What is kept ----

test("the app's caches are left alone", async () => {
	const browser = new Browser()
	const traps = new Map()
	for (const key of ['trip', 'lost']) {
		traps.set(absolute(`${REFRESH}?${key}`), Response.json({ time: browser.now, wait: MINUTE, vain: 9, paths: ['/a'] }))
	}
	browser.caches.stores.set('app', traps)
	const worker = browser.start()
	browser.expire(false)
	await worker.get('/a')
	assert.deepEqual(browser.tab.visits, [VISIT])
	browser.session = true
	await worker.visit('/')
	await worker.extend('activate')
	assert.deepEqual([...browser.caches.used], ['reauth'])
	// Nor is anything found there that the app did not put there.
	assert.deepEqual(
		[...browser.caches.keys].sort(),
		['length', 'lost', 'renewed', 'trip', 'went'].map((key) => `${REFRESH}?${key}`),
	)
	assert.equal(traps.size, 2)
})

test('a probe that finds nothing new writes nothing', async () => {
	const browser = new Browser()
	const worker = browser.start()
	await worker.get('/a')
	const { writes } = browser.caches
	browser.pass(4 * SECOND)
	await worker.get('/a')
	assert.equal(browser.count(PROBE), 2)
	assert.equal(browser.caches.writes, writes)
})

for (const broken of [['match'], ['open'], ['put'], ['delete'], ['match', 'open', 'put', 'delete']]) {
	const storage = `storage that fails to ${broken.join(', ')}`

	test(`${storage} makes no difference to an app`, async () => {
		const browser = new Browser()
		browser.caches.broken = new Set(broken)
		const worker = browser.start()
		assert.equal(await worker.get('/a'), '200 answer to /a')
		browser.expire(true)
		assert.equal(await worker.get(post('/a', 'body')), '200 answer to body')
		browser.expire(false)
		assert.equal(await worker.get(post('/a', 'body')), FAILED)
		// What cannot be kept is known as long as the worker runs.
		assert.equal(await worker.get('/a'), FAILED)
		assert.deepEqual(browser.tab.visits, [VISIT])
		browser.session = true
		worker.ask(REFRESH)
		await idle()
		assert.equal(await worker.get('/a'), '200 answer to /a')
	})

	test(`${storage} keeps no worker from starting`, async () => {
		for (const recovering of [false, true]) {
			const browser = new Browser()
			browser.caches.broken = new Set(broken)
			const worker = browser.start({ recovering })
			const installed = worker.extend('install')
			worker.end(0)
			assert.equal(await installed, 'fulfilled')
			assert.equal(worker.skipped, 1)
			assert.equal(await worker.extend('activate'), 'fulfilled')
			assert.deepEqual(browser.tab.visits, recovering ? [VISIT] : [])
		}
	})
}

for (const stuck of [['match'], ['open'], ['put'], ['delete'], ['match', 'open', 'put', 'delete']]) {
	test(`storage that never comes to an end over ${stuck.join(', ')} holds nothing up for long`, async () => {
		const browser = new Browser()
		browser.caches.stuck = new Set(stuck)
		const worker = browser.start()
		const took = []
		const get = async (request) => {
			const began = browser.now
			const answer = await worker.wait(worker.get(request))
			took.push(browser.now - began)
			return answer
		}
		assert.equal(await get('/a'), '200 answer to /a')
		browser.expire(true)
		assert.equal(await get(post('/a', 'body')), '200 answer to body')
		browser.expire(false)
		assert.equal(await get(post('/a', 'body')), FAILED)
		assert.deepEqual(browser.tab.visits, [VISIT])
		browser.session = true
		worker.ask(REFRESH)
		await idle()
		assert.equal(await get('/a'), '200 answer to /a')
		// Each of the things that a request may have to keep is waited for once.
		assert.ok(Math.max(...took) <= 7 * STORAGE_LIMIT, `${took}`)
	})
}

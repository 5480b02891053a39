import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import test from 'node:test'
import vm from 'node:vm'

const source = await readFile(new URL('page.js', import.meta.url), 'utf8')
const ORIGIN = 'https://app.example.com'
const SELF = `${ORIGIN}/_reauth`
const KEY = 'reauth /_reauth'
const LOGIN = '/_reauth?login'
const HOME = '/_reauth?rd='
const HOUR = 60 * 60 * 1000
const NOW = Date.UTC(2026, 0, 1)

// What kind of visit the plugin may say it was.
const KINDS = ['elsewhere', 'visit', 'framed']

const idle = async () => {
	for (let i = 0; i < 8; i++) await new Promise(setImmediate)
}

// Workers is what a browser has of them for the app, by scope.
class Workers {
	registered = []
	scripts = { active: '/sw.js' }

	constructor(...scopes) {
		this.scopes = scopes
	}

	getRegistration = async (url) => {
		const scope = this.scopes.find((scope) => url.startsWith(scope))
		const state = (name) => this.scripts[name] && { scriptURL: ORIGIN + this.scripts[name] }
		return scope && { scope, installing: state('installing'), waiting: state('waiting'), active: state('active') }
	}

	register = async (script, { scope }) => {
		this.registered.push([script, scope])
	}
}

// A tab, whose storage outlasts a visit.
class Tab {
	now = NOW
	stored = new Map()
	// Whether the session is good; undefined if nobody can tell.
	active = false
	// How storage fails.
	closed = false
	full = false
	// What the page listens for, what it waits for, and what it keeps for the worker.
	listeners = new Map()
	late = new Map()
	kept = new Map()

	// visit resolves to where the page goes, or to what it shows if it stays.
	async visit(given = {}) {
		const { navigation, referrer = '', hash = '', search = '', refresh = '/_reauth', pathname = refresh } = given
		const { auth = '/outpost.goauthentik.io /oauth2' } = given
		const kinds = Object.fromEntries(KINDS.filter((kind) => given[kind]).map((kind) => [kind, '']))
		const replaced = []
		const elements = {
			going: { hidden: false },
			back: { hidden: true },
			in: { hidden: true },
			home: { hidden: false },
			login: { href: given.login ?? '?rd=' },
		}
		const storage = {
			getItem: (key) => this.stored.get(key) ?? null,
			setItem: (key, value) => this.stored.set(key, value),
		}
		const context = {
			window: { navigation },
			navigation,
			navigator: { serviceWorker: given.serviceWorker },
			top: given.top,
			document: {
				referrer,
				documentElement: { dataset: { refresh, auth, ...kinds } },
				getElementById: (id) => elements[id],
				addEventListener: (type, listener) => this.listeners.set(type, listener),
			},
			addEventListener: (type, listener) => this.listeners.set(type, listener),
			BroadcastChannel: class {
				constructor(name) {
					assert.equal(name, 'reauth')
				}

				set onmessage(listener) {
					tab.listeners.set('message', listener)
				}
			},
			location: {
				origin: ORIGIN,
				pathname,
				hash,
				search,
				href: ORIGIN + pathname + search + hash,
				replace: (url) => replaced.push(url),
			},
			setTimeout: (callback, limit) => this.late.set(limit, callback),
			performance: {
				getEntriesByType: (kind) =>
					kind === 'navigation' && given.type !== 'unknown' ? [{ type: given.type ?? 'navigate' }] : [],
			},
			caches: {
				open: async (name) => ({
					put: async (key, response) => {
						if (this.full) throw new DOMException('Storage is full', 'QuotaExceededError')
						assert.equal(name, 'reauth')
						this.kept.set(key, await response.json())
					},
				}),
			},
			Response,
			Date: { now: () => this.now },
			URL,
			fetch: async (url, { cache, redirect }) => {
				assert.deepEqual([url, cache, redirect], [`${refresh}?probe`, 'no-store', 'manual'])
				if (this.active === undefined) throw new TypeError('Failed to fetch')
				return Response.json({ active: this.active })
			},
		}
		const tab = this
		Object.defineProperty(context, 'sessionStorage', {
			get: () => {
				if (this.closed) throw new DOMException('Storage is closed', 'SecurityError')
				return storage
			},
		})
		vm.runInNewContext(source, context)
		await idle()
		assert.ok(replaced.length < 2)
		Object.assign(this, { replaced, elements })
		return replaced[0] ?? elements
	}

	// trip makes a trip to the login, and resolves to where it ends.
	async trip(from, back = { search: '?login', elsewhere: true }) {
		this.active = false
		assert.equal(await this.visit(from), `${from.refresh ?? '/_reauth'}?login`)
		this.active = true
		return this.visit(back)
	}
}

// entries is a history, in which the page is the entry of that index.
const entries = (urls, index) => ({
	navigation: { entries: () => urls.map((url) => ({ url })), currentEntry: { index } },
})

const home = `${ORIGIN}/`

// A page of another origin around a frame.
const stranger = {
	get location() {
		throw new DOMException('Blocked a frame', 'SecurityError')
	},
}

const cases = [
	['the page before', entries([`${ORIGIN}/budget`, SELF], 1), `${ORIGIN}/budget`],
	['query and hash', entries([`${ORIGIN}/a?b=c&d=%2F#e/f?g`, SELF], 1), `${ORIGIN}/a?b=c&d=%2F#e/f?g`],
	['not ASCII', entries([`${ORIGIN}/%C3%BC?q=%26#%E2%82%AC`, SELF], 1), `${ORIGIN}/%C3%BC?q=%26#%E2%82%AC`],
	['an address of 10 kB', entries([`${ORIGIN}/${'a'.repeat(10_000)}`, SELF], 1), `${ORIGIN}/${'a'.repeat(10_000)}`],
	['a path that begins with two slashes', entries([`${ORIGIN}//evil.example/`, SELF], 1), `${ORIGIN}//evil.example/`],
	[
		'neither the first page nor the next',
		entries([`${ORIGIN}/1`, `${ORIGIN}/2`, SELF, `${ORIGIN}/4`], 2),
		`${ORIGIN}/2`,
	],
	[
		'the page before, whatever else is said',
		{ ...entries([`${ORIGIN}/1#a`, SELF], 1), referrer: `${ORIGIN}/2`, hash: `#${ORIGIN}/3` },
		`${ORIGIN}/1#a`,
	],
	['nothing before', entries([SELF, `${ORIGIN}/next`], 0), home],
	['itself', entries([`${SELF}?rd=/a`, SELF], 1), home],
	['a page that hides its address', entries([null, SELF], 1), home],
	[
		'a page that hides its address, from where it was loaded',
		{ ...entries([null, SELF], 1), referrer: `${ORIGIN}/sw.js`, hash: `#${ORIGIN}/a?b#c` },
		`${ORIGIN}/a?b#c`,
	],
	['nothing before, but a referrer', { ...entries([SELF], 0), referrer: `${ORIGIN}/opener` }, `${ORIGIN}/opener`],
	[
		'no Navigation API: the referrer',
		{ referrer: `${ORIGIN}/a?b=%2F`, hash: `#${ORIGIN}/loaded#c` },
		`${ORIGIN}/a?b=%2F`,
	],
	[
		'no Navigation API: the tab has not moved',
		{ referrer: `${ORIGIN}/a?b`, hash: `#${ORIGIN}/a?b#c#d` },
		`${ORIGIN}/a?b#c#d`,
	],
	['no Navigation API: no referrer', { hash: `#${ORIGIN}/a?b#c` }, `${ORIGIN}/a?b#c`],
	['no Navigation API: nothing is said', {}, home],
	['no Navigation API: the tab has moved home', { referrer: home, hash: `#${ORIGIN}/a?b#c` }, home],
	[
		'no Navigation API: an address too long for a referrer',
		{ referrer: home, hash: `#${ORIGIN}/${'a'.repeat(4100)}#b` },
		`${ORIGIN}/${'a'.repeat(4100)}#b`,
	],
	[
		'no Navigation API: the tab has moved home from an address that is just not too long',
		{ referrer: home, hash: `#${home}${'a'.repeat(4096 - home.length)}` },
		home,
	],
	[
		'no Navigation API: the tab has moved from an address too long for a referrer',
		{ referrer: `${ORIGIN}/moved`, hash: `#${home}${'a'.repeat(4100)}` },
		`${ORIGIN}/moved`,
	],
	['the referrer of another origin', { referrer: 'https://evil.example/a' }, home],
	['the referrer of another origin that looks alike', { referrer: `${ORIGIN}.evil.example/a` }, home],
	['a fragment of another origin', { hash: '#https://evil.example/a' }, home],
	['a fragment that is no URL', { hash: '#javascript:alert(1)' }, home],
	['a fragment that is a path', { hash: '#//evil.example/a' }, home],
]

for (const [name, from, want] of cases) {
	test(`back to: ${name}`, async () => {
		assert.equal(await new Tab().trip(from), want)
	})

	test(`back to: ${name}, with storage closed`, async () => {
		const tab = new Tab()
		tab.closed = true
		const { pathname, search, hash } = new URL(want)
		assert.equal(await tab.visit(from), `/_reauth?rd=${encodeURIComponent(pathname + search + hash)}`)
	})
}

// What is no place to come back to, and what only looks like that.
for (const path of [
	'/_reauth',
	'/_reauth?rd=/a',
	'/_reauth/',
	'/%5Freauth',
	'/%2525255Freauth',
	'/_reauth%3Fa',
	'/oauth2%2523',
	'//_reauth',
	'/a/..%2F_reauth',
	'/oauth2/sign_out',
	'/oauth2',
	'/a/..//oauth2/sign_out',
	'/outpost.goauthentik.io/callback?code=a',
	'/outpost%2Egoauthentik.io/sign_out',
	'/%2Foutpost.goauthentik.io%5Csign_out',
]) {
	test(`home in place of: ${path}`, async () => {
		const evil = { hash: `#${ORIGIN}${path}` }
		assert.equal(await new Tab().trip(evil), home)
		assert.equal(await new Tab().trip(entries([ORIGIN + path, SELF], 1)), home)
	})
}
for (const path of [
	'/_reauth2',
	'/a/_reauth',
	'/oauth2x',
	'/a?b=/oauth2/',
	'/100%',
	'/a%2Fb',
	'/%E0%A4%A',
	'/#/_reauth',
]) {
	test(`back to: ${path}`, async () => {
		assert.equal(await new Tab().trip({ hash: `#${ORIGIN}${path}` }), ORIGIN + path)
	})
}

test('where the auth server has no path on the host, all but the refresh path is the app', async () => {
	const place = `${ORIGIN}/outpost.goauthentik.io/a`
	assert.equal(await new Tab().trip({ auth: '', hash: `#${place}` }, { auth: '', search: '?login' }), place)
})

const app = entries([`${ORIGIN}/app#here`, SELF], 1)

test('an auth server that forgets the query leads back all the same', async () => {
	for (const elsewhere of [true, false]) {
		assert.equal(await new Tab().trip(app, { elsewhere }), `${ORIGIN}/app#here`)
	}
})

test('with a good session the page goes back at once', async () => {
	const tab = new Tab()
	tab.active = true
	assert.equal(await tab.visit(app), `${ORIGIN}/app#here`)
})

test('a place is come back to once', async () => {
	const tab = new Tab()
	await tab.trip(app)
	assert.equal(await tab.visit({ search: '?login', elsewhere: true }), HOME)
})

test('a login that came back without a session does not loop, and can be begun again', async () => {
	for (const active of [false, undefined]) {
		const tab = new Tab()
		await tab.visit(app)
		tab.active = active
		const { going, back, home, login } = await tab.visit({ elsewhere: true })
		assert.deepEqual([going.hidden, back.hidden, home.hidden, login.href], [true, false, true, LOGIN])
		tab.active = true
		assert.equal(await tab.visit({ search: '?login', elsewhere: true }), `${ORIGIN}/app#here`)
	}
})

test('an app under a path of its own has its home page there, and goes back to anywhere on the host', async () => {
	const refresh = '/apps/budget/_reauth'
	const self = ORIGIN + refresh
	const tab = new Tab()
	assert.equal(
		await tab.trip({ ...entries([self], 0), refresh }, { search: '?login', elsewhere: true, refresh }),
		`${ORIGIN}/apps/budget/`,
	)
	for (const place of [`${ORIGIN}/apps/budget/a?b#c`, `${ORIGIN}/other`]) {
		const back = await tab.trip(
			{ ...entries([place, self], 1), refresh },
			{ search: '?login', elsewhere: true, refresh },
		)
		assert.equal(back, place)
	}
	// What another app of the host has left is none of its business.
	tab.active = false
	await tab.visit(app)
	tab.active = true
	assert.equal(await tab.visit({ search: '?login', elsewhere: true, refresh }), `${refresh}?rd=`)
	assert.equal(await tab.visit({ search: '?login', elsewhere: true }), `${ORIGIN}/app#here`)
})

test('a new trip forgets a place that nobody came back to', async () => {
	const tab = new Tab()
	await tab.visit(app)
	assert.equal(
		await tab.trip({ ...entries([`${ORIGIN}/later`, SELF], 1), hash: `#${ORIGIN}/later` }),
		`${ORIGIN}/later`,
	)
})

test('a place that nobody came back to counts for an hour, however often a login was in vain', async () => {
	for (const [age, want] of [
		[HOUR - 1, `${ORIGIN}/app#here`],
		[HOUR, `${ORIGIN}/later`],
	]) {
		const tab = new Tab()
		await tab.visit(app)
		tab.now += age - 1
		assert.equal((await tab.visit({ search: '?login', elsewhere: true })).back.hidden, false)
		tab.now += 1
		tab.active = true
		assert.equal(await tab.visit(entries([`${ORIGIN}/later`, SELF], 1)), want)
	}
})

test('who sends a browser here from another origin does not choose the place', async () => {
	const evil = {
		...entries([`${ORIGIN}/evil`, SELF], 1),
		referrer: `${ORIGIN}/evil`,
		hash: `#${ORIGIN}/evil`,
		elsewhere: true,
	}
	const tab = new Tab()
	const { going, back, home, login } = await tab.visit(evil)
	assert.deepEqual([going.hidden, back.hidden, home.hidden, login.href], [true, true, false, LOGIN])
	tab.active = true
	assert.equal(await tab.visit(evil), HOME)
	assert.equal(await tab.visit({ ...evil, search: '?login', elsewhere: false }), HOME)
	assert.equal(tab.stored.has(KEY) && JSON.parse(tab.stored.get(KEY)).place, undefined)
})

// Browsers do not say who has made the entry of a tab's history that they show anew.
for (const type of ['reload', 'back_forward']) {
	test(`a ${type} does not choose the place`, async () => {
		const evil = { ...entries([`${ORIGIN}/evil`, SELF], 1), hash: `#${ORIGIN}/evil`, type }
		for (const framed of [false, true]) {
			const tab = new Tab()
			const { login } = await tab.visit({ ...evil, framed, top: stranger })
			assert.equal(login.href, framed ? `/_reauth#${home}` : LOGIN)
			tab.active = true
			if (!framed) assert.equal(await tab.visit(evil), HOME)
		}
		const tab = new Tab()
		await tab.visit(app)
		tab.active = true
		assert.equal(await tab.visit(evil), `${ORIGIN}/app#here`)
	})
}

test('a browser that does not say how a page was come to loses no place', async () => {
	assert.equal(await new Tab().trip({ ...app, type: 'unknown' }), `${ORIGIN}/app#here`)
})

test('what is stored by others is no place', async () => {
	for (const stored of [
		'',
		'null',
		'{}',
		`{"place":"https://evil.example/","time":${NOW}}`,
		`{"place":"//evil.example/","time":${NOW}}`,
		`{"place":"${ORIGIN}/a"}`,
	]) {
		const tab = new Tab()
		tab.active = true
		tab.stored.set(KEY, stored)
		assert.equal(await tab.visit({ search: '?login', elsewhere: true }), HOME)
	}
})

test('where nobody can tell of the session, the login will', async () => {
	const tab = new Tab()
	tab.active = undefined
	assert.equal(await tab.visit(app), LOGIN)
})

// ---- In place of a refused visit ----

const refused = (more) => ({
	visit: true,
	pathname: '/a',
	search: '?b',
	hash: '#c',
	login: 'https://auth.example.com/',
	serviceWorker: new Workers(),
	...more,
})

test('a refused visit gets a worker, goes to the login and comes back', async () => {
	for (const refresh of ['/_reauth', '/apps/a/_reauth']) {
		const tab = new Tab()
		const from = refused({ refresh })
		assert.equal(await tab.visit(from), `${refresh}?login`)
		const scope = ORIGIN + refresh.replace('_reauth', '')
		assert.deepEqual(from.serviceWorker.registered, [[`${refresh}?reauth-worker`, scope]])
		tab.active = true
		assert.equal(await tab.visit({ refresh, search: '?login', elsewhere: true }), `${ORIGIN}/a?b#c`)
	}
})

test('a worker that is there stays, whether for the page or for the whole app', async () => {
	for (const scope of [`${ORIGIN}/a`, `${ORIGIN}/apps/`, `${ORIGIN}/`]) {
		const from = refused({ refresh: '/apps/_reauth', serviceWorker: new Workers(scope) })
		assert.equal(await new Tab().visit(from), '/apps/_reauth?login')
		assert.deepEqual(from.serviceWorker.registered, [])
	}
	// One that is on its way is in time.
	for (const state of ['installing', 'waiting']) {
		const early = refused({ serviceWorker: new Workers(`${ORIGIN}/`) })
		early.serviceWorker.scripts = { active: '/_reauth?reauth-worker', [state]: '/sw.js' }
		await new Tab().visit(early)
		assert.deepEqual(early.serviceWorker.registered, [])
	}
	// One for another part of the app alone leaves the rest to ours.
	const from = refused({ serviceWorker: new Workers(`${ORIGIN}/other/`) })
	await new Tab().visit(from)
	assert.equal(from.serviceWorker.registered.length, 1)
})

test('without a worker the way is the same', async () => {
	const failing = new Workers()
	failing.register = async () => {
		throw new DOMException('The worker cannot be had', 'SecurityError')
	}
	for (const serviceWorker of [undefined, failing]) {
		assert.equal(await new Tab().visit(refused({ serviceWorker })), LOGIN)
	}
	const tab = new Tab()
	const slow = new Workers()
	slow.register = () => new Promise(() => {})
	assert.equal(typeof (await tab.visit(refused({ serviceWorker: slow }))), 'object')
	tab.late.get(3000)()
	await idle()
	assert.deepEqual(tab.replaced, [LOGIN])
})

test('a refused visit with storage closed comes back by rd', async () => {
	const tab = new Tab()
	tab.closed = true
	assert.equal(await tab.visit(refused()), `/_reauth?rd=${encodeURIComponent('/a?b#c')}`)
})

test("who comes from elsewhere, or has a good session, goes the auth server's way, and not in circles", async () => {
	for (const [elsewhere, active] of [
		[true, false],
		[false, true],
	]) {
		const tab = new Tab()
		tab.active = active
		const from = refused({ elsewhere })
		for (const [goes, rest] of [
			[true, 9999],
			[false, 1],
			[true, 9000],
		]) {
			const ended = await tab.visit(from)
			assert.equal(goes ? ended : typeof ended, goes ? 'https://auth.example.com/' : 'object')
			tab.now += rest
		}
		assert.equal(from.serviceWorker.registered.length, 3)
		// Nobody comes back to here, and another app has circles of its own.
		assert.deepEqual([...tab.stored.keys()], [`${KEY} went`])
		assert.deepEqual([...tab.kept], [['/_reauth?went', { time: tab.now - 9000 }]])
		tab.now += HOUR
		tab.full = true
		assert.equal(await tab.visit(from), 'https://auth.example.com/')
		tab.closed = true
		tab.now += HOUR
		const { going } = await tab.visit(from)
		assert.ok(going.hidden)
	}
})

test('a worker of the plugin for another refresh path or another app is no worker of this one', async () => {
	for (const [script, scope] of [
		['/old?reauth-worker', `${ORIGIN}/`],
		['/_reauth?reauth-worker', `${ORIGIN}/`],
	]) {
		const from = refused({ refresh: '/apps/_reauth', serviceWorker: new Workers(scope) })
		from.serviceWorker.scripts = { waiting: script }
		await new Tab().visit(from)
		assert.deepEqual(from.serviceWorker.registered, [['/apps/_reauth?reauth-worker', `${ORIGIN}/apps/`]])
	}
})

test('a file in place of a page leaves the tab with something to read', async () => {
	const tab = new Tab()
	await tab.visit(refused())
	tab.active = true
	assert.equal(await tab.visit({ search: '?login', elsewhere: true }), `${ORIGIN}/a?b#c`)
	tab.late.get(5000)()
	assert.deepEqual([tab.elements.going.hidden, tab.elements.in.hidden], [true, false])
})

test('a login from the page that tells how things stand comes back to it', async () => {
	const tab = new Tab()
	tab.active = true
	const place = `${SELF}?status`
	tab.stored.set(KEY, JSON.stringify({ place, time: tab.now }))
	assert.equal(await tab.visit({ search: '?login', elsewhere: true }), place)
})

// ---- In a frame ----

test('a frame waits for a login in another tab, and goes on', async () => {
	const framed = { ...app, framed: true, top: stranger }
	for (const type of ['message', 'focus', 'visibilitychange']) {
		const tab = new Tab()
		const { login } = await tab.visit(framed)
		assert.equal(login.href, `/_reauth#${ORIGIN}/app#here`)
		await tab.listeners.get(type)()
		assert.deepEqual(tab.replaced, [])
		tab.active = true
		await tab.listeners.get(type)()
		assert.deepEqual(tab.replaced, [`${ORIGIN}/app#here`])
	}
})

test('a frame that was sent from elsewhere goes on at the home page', async () => {
	const tab = new Tab()
	const { login } = await tab.visit({ ...app, framed: true, elsewhere: true, top: stranger })
	assert.equal(login.href, `/_reauth#${home}`)
})

test('a page of the same origin around a frame goes to the login and comes back', async () => {
	const top = { location: { href: `${ORIGIN}/dashboard#1` } }
	await new Tab().visit({ ...app, framed: true, top })
	assert.equal(top.location.href, `/_reauth#${ORIGIN}/dashboard#1`)
	// Going back from the login is no wish to go there again.
	const left = { location: { href: `${ORIGIN}/dashboard#1` } }
	const tab = new Tab()
	await tab.visit({ ...app, framed: true, top: stranger })
	await tab.visit({ ...app, framed: true, top: left, type: 'back_forward' })
	assert.equal(left.location.href, `${ORIGIN}/dashboard#1`)
	tab.active = true
	await tab.listeners.get('focus')()
	assert.deepEqual(tab.replaced, [`${ORIGIN}/app#here`])
})

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import test from 'node:test'
import vm from 'node:vm'

const source = await readFile(new URL('status.js', import.meta.url), 'utf8')
const ORIGIN = 'https://app.example.com'
const MINUTE = 60 * 1000
const NOW = Date.UTC(2026, 0, 1)

const idle = async () => {
	for (let i = 0; i < 8; i++) await new Promise(setImmediate)
}

// Page is the page that tells how things stand, in a browser with these workers.
class Page {
	now = NOW
	stored = new Map()
	elements = Object.fromEntries(
		['app', 'session', 'worker', 'renewal', 'trip', 'silence', 'renew', 'login', 'done'].map((id) => [
			id,
			{ textContent: '', className: '', disabled: true },
		]),
	)
	channel = {}
	timers = []

	// show resolves once the page has shown what there is.
	async show({
		probe = () => Response.json({ active: true }),
		registrations = [],
		refresh = '/_reauth',
		workers = true,
	}) {
		const page = this
		const serviceWorker = {
			getRegistration: async (url) => registrations.find(({ scope }) => url.startsWith(scope)),
			getRegistrations: async () => registrations,
		}
		this.location = { origin: ORIGIN, href: `${ORIGIN}${refresh}?status` }
		class Now extends Date {
			constructor(time = page.now) {
				super(time)
			}

			static now = () => page.now
		}
		vm.runInNewContext(source, {
			document: {
				documentElement: { dataset: { refresh } },
				getElementById: (id) => this.elements[id],
			},
			navigator: workers ? { serviceWorker } : {},
			location: this.location,
			sessionStorage: { setItem: (key, value) => this.stored.set(key, value) },
			BroadcastChannel: class {
				constructor(name) {
					assert.equal(name, 'reauth')
					page.channel = this
				}
			},
			MessageChannel: class {
				port1 = {}
				port2 = { postMessage: (data) => queueMicrotask(() => this.port1.onmessage({ data })) }
			},
			setTimeout: (callback, limit) => this.timers.push({ callback, limit }),
			Date: Now,
			URL,
			fetch: async (url, { cache, redirect }) => {
				assert.deepEqual([url, cache, redirect], [`${refresh}?probe`, 'no-store', 'manual'])
				return probe()
			},
		})
		await idle()
		return this
	}

	text(id) {
		return this.elements[id].textContent
	}
}

// registration is one whose worker answers what it is asked, or says nothing.
const registration = (told, scope = `${ORIGIN}/`) => {
	const asked = []
	const postMessage = ({ type }, [port]) => {
		asked.push(type)
		const answer = typeof told === 'function' ? told(type) : told
		if (answer) port.postMessage(answer)
	}
	return { scope, asked, active: { postMessage } }
}

const told = (more) => ({ version: 'v1.2.3', own: false, recovering: false, silent: true, pause: 0, ...more })

test('the session', async () => {
	const end = new Date(NOW + 5 * MINUTE).toLocaleTimeString()
	for (const [probe, want, mark] of [
		[() => Response.json({ active: false }), /^is not good$/, 'bad'],
		[() => Response.json({ active: true }), /^is good; its end is not known$/, 'good'],
		[
			() => Response.json({ active: true, expires_in: 300 }),
			new RegExp(`^is good until ${end}, for 5 minutes$`),
			'good',
		],
		[() => Response.json({ active: true, expires_in: 120 }), /for 2 minutes$/, 'good'],
		[() => Response.json({ active: true, expires_in: 90 }), /for 90 seconds$/, 'good'],
		[() => Response.json({ active: true, expires_in: 1 }), /for 1 second$/, 'good'],
		[() => Response.json({ active: true, expires_in: 86_400 }), /for 24 hours$/, 'good'],
		[() => new Response('<html>'), /^cannot be told/, 'bad'],
		[() => Response.json({}), /^cannot be told/, 'bad'],
		[
			() => {
				throw new TypeError('Failed to fetch')
			},
			/^cannot be told/,
			'bad',
		],
	]) {
		const page = await new Page().show({ probe })
		assert.match(page.text('session'), want)
		assert.equal(page.elements.session.className, mark)
	}
})

test('which worker is in charge', async () => {
	for (const [registrations, want, mark] of [
		[[], 'none: nothing renews the session of this app', 'bad'],
		[[registration(told())], 'the app’s own, with the refresh script in front, of v1.2.3', 'good'],
		[[registration(told({ own: true }))], 'the plugin’s own, of v1.2.3', 'good'],
		[[registration(told({ recovering: true }))], 'the recovery script, in place of the app’s own, of v1.2.3', 'good'],
		[[{ scope: `${ORIGIN}/`, active: null }], 'one is being installed', ''],
		[
			[registration(told(), `${ORIGIN}/a/b/`), registration(told({ own: true }), `${ORIGIN}/a/`)],
			'the plugin’s own, of v1.2.3, for /a/',
			'good',
		],
	]) {
		const page = await new Page().show({ registrations })
		assert.equal(page.text('worker'), want)
		assert.equal(page.elements.worker.className, mark)
	}
})

test('a worker without the refresh script says nothing', async () => {
	const page = await new Page().show({ registrations: [registration()] })
	const timer = page.timers.find(({ limit }) => limit === 2000)
	timer.callback()
	await idle()
	assert.equal(page.text('worker'), 'the app’s own, without the refresh script')
	assert.equal(page.elements.worker.className, 'bad')
	assert.equal(page.text('renewal'), 'not known without the refresh script')
	assert.ok(page.elements.renew.disabled)
})

test('an app under a path of its own has a worker there', async () => {
	const refresh = '/apps/a/_reauth'
	const another = registration(told(), `${ORIGIN}/apps/b/`)
	const page = await new Page().show({
		refresh,
		registrations: [another, registration(told({ own: true }), `${ORIGIN}/apps/a/`)],
	})
	assert.equal(page.text('worker'), 'the plugin’s own, of v1.2.3')
	assert.equal(page.text('app'), 'app.example.com/apps/a/')
	assert.match((await new Page().show({ refresh, registrations: [another] })).text('worker'), /^none/)
})

test('renewals, trips and what hinders silence', async () => {
	const time = NOW - 5 * MINUTE
	for (const [more, renewal, trip, silence, mark = 'good'] of [
		[{}, /^none yet$/, /^no tab/, /^nothing is known/],
		[{ renewed: { time } }, /5 minutes ago, in silence$/, /^no tab/, /^sessions are renewed/],
		[{ renewed: { time, why: 'visit' } }, /, by a login$/, /^no tab/, /^nothing is known/],
		[{ renewed: { time, why: 'login' } }, /, by a login$/, /^no tab/, /met a login/, 'bad'],
		[{ renewed: { time }, why: 'policy' }, /, in silence$/, /^no tab/, /a policy is in the way/, 'bad'],
		[{ silent: false }, /^none yet$/, /^no tab/, /cannot renew in silence/, ''],
		[{ trip: { time }, pause: 3 * MINUTE }, /^none/, /5 minutes ago; nobody is sent again for 3 minutes$/, /^nothing/],
		[{ trip: { time } }, /^none/, /the pause is over$/, /^nothing/],
	]) {
		const page = await new Page().show({ registrations: [registration(told(more))] })
		assert.match(page.text('renewal'), renewal)
		assert.match(page.text('trip'), trip)
		assert.match(page.text('silence'), silence)
		assert.equal(page.elements.silence.className, mark)
	}
})

test('the buttons', async () => {
	for (const [good, done] of [
		[true, 'The session is good.'],
		[false, 'It takes a login.'],
	]) {
		const page = new Page()
		const there = registration((type) => {
			if (type !== 'REAUTH_RENEW') return told()
			assert.ok(page.elements.renew.disabled)
			assert.equal(page.text('done'), 'A renewal is under way …')
			return told({ good })
		})
		await page.show({ registrations: [there] })
		await page.elements.renew.onclick()
		assert.equal(page.text('done'), done)
		assert.ok(!page.elements.renew.disabled)
		assert.deepEqual(there.asked, ['REAUTH_STATUS', 'REAUTH_RENEW', 'REAUTH_STATUS'])
		page.elements.login.onclick()
		assert.equal(page.location.href, '/_reauth?login')
		assert.equal(JSON.parse(page.stored.get('reauth /_reauth')).place, `${ORIGIN}/_reauth?status`)
	}
})

test('a worker that does not answer, or is not there any more', async () => {
	for (const goes of [false, true]) {
		const registrations = [registration((type) => (type === 'REAUTH_STATUS' ? told() : undefined))]
		const page = await new Page().show({ registrations })
		if (goes) registrations.pop()
		const over = page.elements.renew.onclick()
		await idle()
		if (!goes) page.timers.find(({ limit }) => limit === 90_000).callback()
		await over
		assert.equal(page.text('done'), 'The worker did not answer.')
	}
})

test('it follows what happens', async () => {
	const there = registration(told())
	const page = await new Page().show({ registrations: [there] })
	await page.channel.onmessage()
	assert.equal(there.asked.length, 2)
})

test('without service workers it tells of the session alone', async () => {
	const page = await new Page().show({ workers: false })
	assert.match(page.text('session'), /^is good/)
	assert.match(page.text('worker'), /^none/)
	assert.ok(page.elements.renew.disabled)
})

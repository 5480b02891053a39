// The soak: a person types payments into Actual all the time, while the session ends
// again and again, every tenth time with the SSO session.
import assert from 'node:assert/strict'
import { createHash, randomInt } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { addTransaction, isSync, logIn, payments, showsPayment } from './actual.js'
import { until, untilAsked } from './common.js'
import { atLogin, placeOf } from './engines.js'

// One in how many ends takes the SSO session as well, and with it a login.
const PER_LOGIN = 10

// How long the session is left alone between two ends at most, in milliseconds.
const LONGEST_PEACE = 2000

// How much more memory may be in use in the last quarter of a soak than in the second, as a
// share, by the medians of what is sampled after each end. The worker's hardly moves. The
// page's has a saw's teeth: Actual takes up to a third more from one load to the next, with
// and without the plugin. Without it, with no session that ends and reloads in place of the
// logins, 100 samples came to -1.3%. A quarter of a short soak is less than a tooth.
const GROWTH = 0.1
const GROWTH_OF_TOOTH = 0.5
const SHORT = 100

// How the session ends. Each resolves to a moment: a sync that begins later and is
// served shows that there is a session again.
const manners = {
	'at any moment': async ({ end }) => {
		await end()
		return Date.now()
	},
	'with a sync, the first to be refused': async ({ end, ask, log }) => {
		const moment = Date.now()
		await end('/sync/sync')
		return log.sync(401, moment, ask)
	},
	'while a sync is under way': async ({ end, ask, delay }) => {
		ask()
		await pause(30 * delay)
		await end()
		return Date.now()
	},
	'and again while it is renewed': async ({ end, endProxy, ask, delay }) => {
		await end()
		ask()
		await pause(200 * delay)
		await endProxy()
		return Date.now()
	},
}

// plan draws how each session ends, the same from the same seed.
function plan(expiries, seed) {
	let drawn = 0
	// A number from 0 to 1.
	const draw = () => createHash('sha256').update(`${seed} ${drawn++}`).digest().readUInt32BE() / 2 ** 32
	const choose = (count) => Math.floor(draw() * count)
	const ends = []
	let withLogin
	for (let i = 0; i < expiries; i++) {
		if (i % PER_LOGIN === 0) withLogin = i + choose(PER_LOGIN)
		const session = i === withLogin ? 'both' : 'proxy'
		const manner = Object.keys(manners)[choose(Object.keys(manners).length)]
		ends.push({ session, manner, peace: LONGEST_PEACE * draw(), delay: draw() })
	}
	return ends
}

// Log is what Traefik has answered since it began.
class Log {
	requests = []
	#stand
	#from

	static async begin(stand) {
		const log = new Log()
		log.#stand = stand
		log.#from = (await stand.requests()).length
		return log
	}

	async read() {
		const more = await this.#stand.requests(this.#from + this.requests.length)
		for (const request of more) this.requests.push({ ...request, began: Date.parse(request.StartUTC) })
	}

	// sync resolves to when a sync began that had this status and began after a moment. It
	// asks for one now and then.
	async sync(status, moment, ask) {
		let found
		await untilAsked(
			`a sync with ${status}`,
			async () => {
				await this.read()
				found = this.requests.find(
					(request) => request.began > moment && isSync(request) && request.DownstreamStatus === status,
				)
				return found
			},
			ask,
		)
		return found.began
	}
}

// Tab follows what becomes of a page's tab.
class Tab {
	// The URLs of the documents that it got since it is watched, in order.
	documents = []
	// Given once the tab gets another document than the one at which it settled.
	signal
	// Rejects then.
	left
	#leave

	static async watch(page) {
		const tab = new Tab()
		tab.settle()
		const session = await page.createCDPSession()
		await session.send('Page.enable')
		session.on('Page.frameNavigated', ({ frame }) => {
			if (frame.parentId) return
			tab.documents.push(frame.url)
			tab.#leave.abort(new Error(`the tab went to ${frame.url}`))
		})
		return tab
	}

	settle() {
		this.#leave = new AbortController()
		this.signal = this.#leave.signal
		this.left = new Promise((_, reject) => {
			this.signal.addEventListener('abort', () => reject(this.signal.reason))
		})
		this.left.catch(() => {})
	}
}

// handsOn is a page with which nothing is done any more once the signal is given.
const handsOn = (page, signal) =>
	new Proxy(page, {
		get(_, name) {
			signal.throwIfAborted()
			if (name === 'locator') return (selector) => ({ click: () => page.locator(selector).click({ signal }) })
			return typeof page[name] === 'function' ? page[name].bind(page) : page[name]
		},
	})

// Memory tells how many bytes are in use after a garbage collection.
class Memory {
	// By where they are in use, in order.
	samples = { page: [], worker: [] }
	// The sessions with the runs of the service worker, by their targets. Chromium would
	// end a worker that has nothing to do for a while, but none that is watched like this.
	#runs = new Map()
	#page
	#app

	constructor(page, app) {
		this.#page = page
		this.#app = app
	}

	get runs() {
		return this.#runs.size
	}

	async sample() {
		const target = await this.#page
			.browser()
			.waitForTarget((target) => target.type() === 'service_worker' && target.url().startsWith(`${this.#app}/`))
		if (!this.#runs.has(target)) this.#runs.set(target, await target.createCDPSession())
		const inPage = await this.#page.createCDPSession()
		this.samples.page.push(await inUse(inPage))
		this.samples.worker.push(await inUse(this.#runs.get(target)))
		await inPage.detach()
	}
}

async function inUse(session) {
	await session.send('HeapProfiler.collectGarbage')
	return (await session.send('Runtime.getHeapUsage')).usedSize
}

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]

// quarters returns the medians of the second and of the last quarter of the values.
function quarters(values) {
	const at = (quarter) => Math.floor((quarter * values.length) / 4)
	return [median(values.slice(at(1), at(2))), median(values.slice(at(3)))]
}

// soak types payments into the account that a page shows while a number of sessions end,
// and resolves to these payments. The caller has yet to see whether the server has them.
export async function soak(t, stand, page, expiries) {
	const seed = process.env.SEED || randomInt(2 ** 32)
	t.diagnostic(`the ends of the sessions are drawn with SEED=${seed}`)
	const started = Date.now()
	const place = await placeOf(page)
	const loginsBefore = await stand.logins()
	const tab = await Tab.watch(page)
	const log = await Log.begin(stand)

	const typed = []
	let isOver = false
	// Whether the SSO session has ended, so that the tab may be led away, and how many
	// times it was back.
	let isGone = false
	let returns = 0

	// add resolves to whether a payment was added before the tab was led away.
	const add = async (notes, amount) => {
		try {
			await Promise.race([addTransaction(handsOn(page, tab.signal), notes, amount), tab.left])
			return true
		} catch (error) {
			if (!isGone) throw tab.signal.aborted ? tab.signal.reason : error
			return false
		}
	}
	const comeBack = async () => {
		await atLogin(page)
		await logIn(page, stand)
		await showsPayment(page, typed.at(-1).notes)
		assert.equal(await placeOf(page), place)
		tab.settle()
		isGone = false
		returns++
	}
	const type = async () => {
		for (let n = 1; !isOver; n++) {
			const notes = `soak-${n}`
			while (!(await add(notes, (n / 100).toFixed(2)))) {
				await comeBack()
				// What was typed and not added is gone, as with a reload.
				if ((await payments(page)).some((payment) => payment.notes === notes)) break
			}
			typed.push({ notes, amount: -n })
		}
	}

	// While the SSO session lives no sync may fail: what is refused is sent again.
	let fail
	const failure = new Promise((_, reject) => {
		fail = reject
	})
	failure.catch(() => {})
	const ask = () => {
		const wasGone = isGone
		page
			.evaluate(async () => (await window.$send('sync'))?.error)
			.then((error) => error && Promise.reject(new Error(`a sync failed: ${JSON.stringify(error)}`)))
			.catch((error) => wasGone || isGone || fail(error))
	}
	const memory = new Memory(page, stand.app)
	const endSessions = async () => {
		await until('the first payment', () => typed.length > 0)
		for (const { session, manner, peace, delay } of plan(expiries, seed)) {
			await pause(peace)
			isGone = session === 'both'
			const returned = returns + (isGone ? 1 : 0)
			const end = (at) => stand.expire(session, at)
			const moment = await manners[manner]({ end, endProxy: () => stand.expire('proxy'), ask, log, delay })
			await untilAsked('the way back', () => returns === returned, ask)
			await log.sync(200, moment, ask)
			await memory.sample()
		}
		isOver = true
	}
	await Promise.race([Promise.all([type(), endSessions()]), failure])
	await log.sync(200, Date.now(), ask)

	const isOfApp = (url) =>
		url.startsWith(`${stand.app}/`) && !/^\/(_reauth|outpost\.goauthentik\.io)(\/|$)/.test(new URL(url).pathname)
	const reloads = tab.documents.filter(isOfApp)
	const logins = (await stand.logins()) - loginsBefore
	const refused = log.requests.filter(({ DownstreamStatus }) => DownstreamStatus === 401)
	const growths = Object.entries(memory.samples).map(([where, bytes]) => {
		const [second, last] = quarters(bytes)
		return { where, second, last, growth: last / second - 1 }
	})
	for (const [what, value] of [
		['seconds', Math.round((Date.now() - started) / 1000)],
		['ends of a session', expiries],
		['of these with the SSO session', returns],
		['logins', logins],
		['reloads', reloads.length],
		['payments', typed.length],
		['refused requests', refused.length],
		['of these syncs', refused.filter(isSync).length],
		['runs of the worker', memory.runs],
		...growths.map(({ where, second, last, growth }) => [
			`memory of the ${where}`,
			`${(second / 1e6).toFixed(2)} MB in the second quarter, ${(last / 1e6).toFixed(2)} MB in the last, ${(100 * growth).toFixed(1)}%`,
		]),
	]) {
		t.diagnostic(`| ${what} | ${value} |`)
	}
	assert.equal(logins, returns)
	assert.equal(reloads.length, logins, reloads.join(' '))
	for (const { where, growth } of growths) {
		const limit = where === 'page' && expiries < SHORT ? GROWTH_OF_TOOTH : GROWTH
		assert(growth < limit, `the memory of the ${where} grows by more than ${100 * limit}%`)
	}
	return typed
}

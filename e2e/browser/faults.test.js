// What goes wrong in the middle of use, tried in Chromium, and that nothing is lost by it and
// nobody stuck: ../../docs/faults.md has the whole list.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { logIn } from './actual.js'
import { atEnd, until } from './common.js'
import {
	atLogin,
	covered,
	distrust,
	isMarked,
	launch,
	launchWithoutCookies,
	mark,
	newPerson,
	newTab,
	placeOf,
} from './engines.js'
import {
	atApp,
	begin,
	call,
	compare,
	enterCovered,
	expire,
	handWritten,
	logInAndBack,
	Pwa,
	stopWorkers,
} from './pwa.js'
import { Stand } from './stand.js'

// One stand and one browser do for all of them but the comparisons. Everyone has a profile.
const ends = []
const file = { after: (end) => ends.push(end) }
let app
let stand
let first

before(async () => {
	app = await Pwa.start(file, { worker: handWritten })
	stand = await Stand.start(file, { Upstream: app.url, Plugin: true, Older: false })
	first = await launch(file, 'chromium', stand.keyHash)
})

after(async () => {
	for (const end of ends) await end()
})

// arrive has somebody log in, and resolves once the app is covered. What the test changes
// of the stand is undone after it.
async function arrive(t, given) {
	const page = given ?? (await newPerson(t, first))
	atEnd(t, async () => {
		app.fault = undefined
		app.before = {}
		await stand.behave({})
	})
	await page.bringToFront()
	await page.goto(`${stand.app}/place?a=1#here`)
	await logInAndBack(page, stand)
	await covered(page)
	await mark(page)
	page.visited = []
	app.calls.length = 0
	page.logins = await stand.logins()
	return page
}

const edit = { method: 'POST', body: 'edit' }

// serves sends an edit and fails if that is not served at once.
async function serves(page) {
	assert.equal((await call(page, '/api/edit', edit)).status, 200)
}

// isUndisturbed fails if the page was left, or if anybody has logged in since it was entered.
async function isUndisturbed(page) {
	assert(await isMarked(page))
	assert.deepEqual(page.visited, [])
	assert.equal(await stand.logins(), page.logins)
}

// comesBack logs in where the page went, and fails if that is not all it takes.
async function comesBack(page) {
	await logInAndBack(page, stand)
	assert.equal(await placeOf(page), `${stand.app}/place?a=1#here`)
	await serves(page)
	assert.equal(await stand.logins(), page.logins + 1)
}

// How many times the app was asked to do something.
const done = (path) => app.calls.filter((request) => request.path === path).length

// sessions resolves to how many sessions the login proxy has begun.
const sessions = async (stand) =>
	(await stand.requests()).filter(({ RequestPath }) => /^\/outpost\.goauthentik\.io\/callback/.test(RequestPath)).length

const isHanging = () => until('something that hangs', async () => (await stand.hanging()) > 0)

// Whatever the session, these come to an answer or to none.
const answers = ['429', '500', '502', 'reset', 'garbage', 'loop']

test('whichever server goes wrong, an app sees what it sees without the plugin, and goes on after it', async (t) => {
	await compare(t, { engine: 'chromium', worker: handWritten }, async ({ app, stand, page }) => {
		const attempt = (path, options, limit) =>
			page.evaluate(
				async (path, options, limit) => {
					try {
						const response = await fetch(path, { ...options, signal: limit && AbortSignal.timeout(limit) })
						return [response.status, await response.text()]
					} catch (error) {
						return error.name
					}
				},
				path,
				options,
				limit,
			)
		const story = []
		for (const fault of [...answers, 'cut', 'slow', 'hang']) {
			const limit = fault === 'hang' ? 500 : undefined
			const meet = async (who) => {
				const outcomes = [await attempt('/api/call', {}, limit), await attempt('/api/edit', edit, limit)]
				story.push({ who, fault, outcomes })
			}
			const goOn = async () => {
				assert.equal((await attempt('/api/edit', edit))[0], 200)
				assert.equal((await attempt('/api/call', {}))[0], 200)
			}
			await stand.behave({ Fault: fault })
			await meet('auth server')
			await stand.behave({})
			await goOn()
			app.fault = fault
			await meet('app')
			app.fault = undefined
			await goOn()
		}
		assert(await isMarked(page))
		return story
	})
})

test('an auth server that goes wrong at the end of a session costs a failed edit, and nobody is sent anywhere', async (t) => {
	const page = await arrive(t)
	for (const fault of answers) {
		await expire(page, stand, 'proxy')
		await stand.behave({ Fault: fault })
		for (const options of [{}, edit]) {
			const { status } = await call(page, `/api/${fault}`, options)
			assert(status === undefined || status > 400, `${fault}: ${status}`)
		}
		await stand.behave({})
		assert.equal((await call(page, `/api/${fault}`, edit)).status, 200, fault)
		assert.equal(done(`/api/${fault}`), 1)
	}
	await isUndisturbed(page)
	await stand.expire('both')
	await stand.behave({ Fault: '500' })
	assert.equal((await call(page, '/api/edit', edit)).status, 500)
	await isUndisturbed(page)
	await stand.behave({})
	await begin(page, '/api/edit', edit)
	await comesBack(page)
})

for (const fault of ['500', 'reset', 'cut', 'loop']) {
	test(`an identity provider that goes wrong shows that to the tab, which a reload brings back: ${fault}`, async (t) => {
		const page = await arrive(t)
		await stand.expire('proxy')
		await stand.behave({ LoginFault: fault })
		await begin(page, '/api/edit', edit)
		await until('the fault', () => page.visited.some((url) => url.startsWith(stand.auth) || /^chrome-error:/.test(url)))
		// Until then Chromium may be at changing the page, and reloads none.
		await page.waitForFunction(() => document.readyState === 'complete')
		await stand.behave({})
		await page.reload()
		await atApp(page)
		assert.equal(await placeOf(page), `${stand.app}/place?a=1#here`)
		await serves(page)
		assert.equal(await stand.logins(), page.logins)
	})
}

// gate has the app wait over requests for a path. It resolves to what lets them go on, once
// one waits.
function gate(path) {
	let open
	const opened = new Promise((resolve) => {
		open = resolve
	})
	const reached = new Promise((resolve) => {
		app.before[path] = () => {
			resolve(open)
			return opened
		}
	})
	return reached
}

test('Traefik reloaded in mid-request and mid-renewal loses neither', async (t) => {
	const page = await arrive(t)
	const Options = { authPaths: ['/outpost.goauthentik.io/', '/other/'] }
	atEnd(t, () => stand.configure({ Options: null }))
	const reached = gate('/api/late')
	const late = call(page, '/api/late', edit)
	const goOn = await reached
	await stand.configure({ Options })
	goOn()
	assert.equal((await late).status, 200)
	assert.equal(done('/api/late'), 1)

	await expire(page, stand, 'proxy')
	await stand.behave({ LoginFault: 'hang' })
	const renewed = call(page, '/api/renewed', edit)
	await isHanging()
	await stand.configure({ Options: null })
	await stand.behave({})
	assert.equal((await renewed).status, 200)
	assert.equal(done('/api/renewed'), 1)
	await isUndisturbed(page)
})

test('Traefik killed in mid-request and mid-renewal costs what was under way, and nobody is sent anywhere', async (t) => {
	const page = await arrive(t)
	const reached = gate('/api/late')
	const late = call(page, '/api/late', edit)
	const goOn = await reached
	await stand.kill()
	assert.deepEqual(await late, { error: 'TypeError' })
	goOn()
	await stand.revive()
	await serves(page)

	await expire(page, stand, 'proxy')
	await stand.behave({ LoginFault: 'hang' })
	const renewed = call(page, '/api/renewed', edit)
	await isHanging()
	await stand.kill()
	assert.deepEqual(await renewed, { error: 'TypeError' })
	await stand.behave({})
	await stand.revive()
	assert.equal((await call(page, '/api/renewed', edit)).status, 200)
	assert.equal(done('/api/renewed'), 1)
	await isUndisturbed(page)
})

// takeNetwork takes the network from the page and its worker, as far as Chromium says that
// there is none, and resolves to what gives it back.
async function takeNetwork(page) {
	const worker = await page.browserContext().waitForTarget((target) => target.type() === 'service_worker')
	const sessions = await Promise.all([page.target(), worker].map((target) => target.createCDPSession()))
	for (const session of sessions) {
		await session.send('Network.enable')
		await session.send('Network.emulateNetworkConditions', {
			offline: true,
			latency: 0,
			downloadThroughput: -1,
			uploadThroughput: -1,
		})
	}
	return () => Promise.all(sessions.map((session) => session.detach()))
}

test('a network that goes in mid-upload and comes back costs the upload, and nothing after it', async (t) => {
	const page = await arrive(t)
	// The session is trusted, so the browser sends it by itself.
	await call(page, '/api/call')
	const upload = (path) =>
		page.evaluate(
			(path) =>
				new Promise((resolve) => {
					const request = new XMLHttpRequest()
					request.onloadend = () => resolve(request.status)
					request.open('POST', path)
					request.send(new File([new Uint8Array(4 * 1024 * 1024)], 'file.bin', { type: 'application/octet-stream' }))
				}),
			path,
		)
	const reached = gate('/api/slow-upload')
	const cut = upload('/api/slow-upload')
	const goOn = await reached
	goOn()
	// Chromium only says to what is new that there is no network.
	const giveBack = await takeNetwork(page)
	await stand.kill()
	assert.equal(await cut, 0)
	assert.deepEqual(await call(page, '/api/edit', edit), { error: 'TypeError' })
	await stand.expire('proxy')
	assert.deepEqual(await call(page, '/api/call'), { error: 'TypeError' })
	await stand.revive()
	await giveBack()
	await serves(page)
	assert.equal(await upload('/api/upload'), 200)
	assert.equal(app.calls.find(({ path }) => path === '/api/upload').body.length, 4 * 1024 * 1024)
	await isUndisturbed(page)
})

// Where the browser may stop the worker: how it comes to that, and what a page asks for then.
const asks = (page) => distrust(page, stand).then(() => stand.behave({ Fault: 'hang' }))
const renews = (page) => expire(page, stand, 'proxy').then(() => stand.behave({ LoginFault: 'hang' }))
const points = [
	['it asks for the session, and a call waits', asks, {}],
	['it renews the session, and a call waits', renews, {}],
	['it renews the session, and an edit waits', renews, edit],
	['it renews the session, and an upload waits', renews, { ...edit, headers: { 'Content-Type': 'image/png' } }],
]

test('a worker that is stopped in the middle of a hold or a renewal loses nothing', async (t) => {
	const page = await arrive(t)
	for (const [what, lead, options] of points) {
		app.calls.length = 0
		await lead(page)
		const answer = call(page, '/api/point', options)
		await isHanging()
		await stopWorkers(page)
		await stand.behave({})
		assert.equal((await answer).status, 200, what)
		assert.equal(done('/api/point'), 1, what)
		await serves(page)
	}
	await isUndisturbed(page)
})

test('a worker that is stopped while it renews ahead loses nothing', async (t) => {
	const own = await enterCovered(t, handWritten, { KnownEnd: true, TokenValidity: 24 })
	await own.stand.behave({ LoginFault: 'hang' })
	const save = () => call(own.page, '/api/save', edit)
	await until('a renewal ahead', async () => (await save()) && (await own.stand.hanging()) > 0)
	const before = await sessions(own.stand)
	await stopWorkers(own.page)
	await own.stand.behave({})
	assert.equal((await save()).status, 200)
	await until('the renewal ahead by the next run', async () => (await sessions(own.stand)) > before)
	assert.equal((await save()).status, 200)
	assert.deepEqual(own.page.visited, [])
	assert.equal(await own.stand.logins(), 1)
	assert(!(await own.stand.requests()).some(({ DownstreamStatus }) => DownstreamStatus === 401))
})

test('a page that is frozen in the middle of a hold goes on when it is shown again', async (t) => {
	const page = await arrive(t)
	const session = await page.createCDPSession()
	for (const options of [{}, edit]) {
		app.calls.length = 0
		await renews(page)
		const answer = call(page, '/api/frozen', options)
		await isHanging()
		const before = await sessions(stand)
		await session.send('Page.setWebLifecycleState', { state: 'frozen' })
		await stand.behave({})
		await until('the renewal', async () => (await sessions(stand)) > before)
		await session.send('Page.setWebLifecycleState', { state: 'active' })
		assert.equal((await answer).status, 200)
		await serves(page)
	}
	await isUndisturbed(page)
})

test('a worker that is stopped while an edit is on its way sends it again', async (t) => {
	const page = await arrive(t)
	let sent = 0
	let goOn
	app.before['/api/late'] = () => {
		sent++
		return new Promise((resolve) => {
			goOn = resolve
		})
	}
	const late = call(page, '/api/late', edit)
	await until('the edit', () => sent === 1)
	await stopWorkers(page)
	await until('the edit once more', () => sent === 2)
	goOn()
	assert.equal((await late).status, 200)
	await serves(page)
	await isUndisturbed(page)
})

test('a worker that is stopped while a tab is at the login makes one trip of it', async (t) => {
	const page = await arrive(t)
	await expire(page, stand, 'both')
	await begin(page, '/api/edit', edit)
	await atLogin(page)
	await stopWorkers(page)
	await comesBack(page)
})

test('two browsers of one user that sign out of each other both go on after a login', async (t) => {
	const [one, other] = [await arrive(t), await arrive(t)]
	const before = await stand.logins()
	for (const [out, left] of [
		[one, other],
		[other, one],
	]) {
		await out.bringToFront()
		await out.goto(`${stand.app}/outpost.goauthentik.io/sign_out`)
		// Where one logout is for all, the identity provider ends every session of the user.
		await stand.expire('both')
		await left.bringToFront()
		await begin(left, '/api/edit', edit)
		await logInAndBack(left, stand)
		await serves(left)
		await out.bringToFront()
		await out.goto(`${stand.app}/place?a=1#here`)
		await logInAndBack(out, stand)
		await serves(out)
		// Whoever logs in ends nobody's session.
		await serves(left)
	}
	assert.equal(await stand.logins(), before + 4)
})

test('an administrator who ends all sessions in mid-use costs one failed edit and a login', async (t) => {
	const page = await arrive(t)
	await serves(page)
	await stand.expire('both')
	await begin(page, '/api/ended', edit)
	await logInAndBack(page, stand)
	assert.equal(await placeOf(page), `${stand.app}/place?a=1#here`)
	assert.equal(done('/api/ended'), 0)
	await serves(page)
	assert.equal(await stand.logins(), page.logins + 1)
})

test('a page that is prefetched after the end of a session is no login, and the next edit is served', async (t) => {
	const { stand, page } = await enterCovered(t, `addEventListener('fetch', () => {})`)
	await stand.expire('proxy')
	await page.evaluate(() => {
		const script = document.createElement('script')
		script.type = 'speculationrules'
		script.text = JSON.stringify({ prefetch: [{ urls: ['/next'], eagerness: 'immediate' }] })
		document.head.append(script)
	})
	const refused = ({ RequestPath, DownstreamStatus }) => RequestPath === '/next' && DownstreamStatus === 302
	await until('the refused prefetch', async () => (await stand.requests()).some(refused))
	assert.equal((await call(page, '/api/edit', edit)).status, 200)
	assert(await isMarked(page))
	assert.equal(await stand.logins(), 1)
})

test('storage that is full makes no difference to renewals, trips and the login', async (t) => {
	const page = await arrive(t)
	const session = await page.createCDPSession()
	await session.send('Storage.overrideQuotaForOrigin', { origin: stand.app, quotaSize: 1 })
	const keeps = () =>
		page.evaluate(async () => {
			const cache = await caches.open('full')
			return cache.put('/full', new Response('full')).then(
				() => 'kept',
				({ name }) => name,
			)
		})
	assert.equal(await keeps(), 'QuotaExceededError')
	await expire(page, stand, 'proxy')
	await serves(page)
	await isUndisturbed(page)
	await expire(page, stand, 'both')
	await begin(page, '/api/edit', edit)
	await atLogin(page)
	// A login that is cancelled is not forced again.
	await page.goBack()
	await atApp(page)
	assert.deepEqual(await call(page, '/api/edit', edit), { error: 'TypeError' })
	await page.reload()
	await comesBack(page)
})

// versionOf asks the worker in charge.
const versionOf = (page) =>
	page.evaluate(
		() =>
			new Promise((resolve) => {
				const { port1, port2 } = new MessageChannel()
				port1.onmessage = ({ data }) => resolve(data.version)
				navigator.serviceWorker.controller.postMessage({ type: 'REAUTH_STATUS' }, [port2])
			}),
	)

// findUpdate has the browser look for a new worker, and resolves to what becomes of that.
const findUpdate = (page) =>
	page.evaluate(async () => {
		const registration = await navigator.serviceWorker.getRegistration()
		const found = new Promise((resolve) => {
			registration.addEventListener('updatefound', () => resolve(registration.installing), { once: true })
		})
		await registration.update()
		const next = await found
		while (next.state === 'installing') {
			await new Promise((resolve) => next.addEventListener('statechange', resolve, { once: true }))
		}
		return next.state
	})

// waits fails if the worker that was found has taken over, which it would once the one in
// charge has nothing to do.
async function waits(page) {
	await stopWorkers(page)
	await serves(page)
	const state = await page.evaluate(async () => (await navigator.serviceWorker.getRegistration()).waiting?.state)
	assert.equal(state, 'installed')
}

test('replicas with different versions of the plugin serve as one', async (t) => {
	atEnd(t, () => stand.configure({ Older: false }))
	const page = await arrive(t)
	for (const Older of [true, false]) {
		await stand.configure({ Older })
		await expire(page, stand, 'proxy')
		await serves(page)
		// Each has a script of its own. The one that is found waits, as any update does.
		assert.equal(await findUpdate(page), 'installed')
		await waits(page)
	}
	// The one answers the call and the other sees the renewal.
	await expire(page, stand, 'proxy')
	await stand.behave({ LoginFault: 'hang' })
	const renewed = call(page, '/api/renewed', edit)
	await isHanging()
	await stand.configure({ Older: true })
	await stand.behave({})
	assert.equal((await renewed).status, 200)
	await isUndisturbed(page)
	await expire(page, stand, 'both')
	await begin(page, '/api/edit', edit)
	await atLogin(page)
	await stand.configure({ Older: false })
	await comesBack(page)
})

test('an update of the app and one of the plugin at the same time wait as one, and then serve', async (t) => {
	const worker = app.worker
	atEnd(t, async () => {
		app.worker = worker
		await stand.configure({ Older: false })
	})
	await stand.configure({ Older: true })
	const page = await arrive(t)
	assert.equal(await versionOf(page), 'v0.0.9')
	app.worker += '// new'
	await stand.configure({ Older: false })
	// With the session expired what is found is no update.
	await stand.expire('proxy', '/sw.js')
	assert.equal(await findUpdate(page), 'redundant')
	assert.equal(await findUpdate(page), 'installed')
	await expire(page, stand, 'proxy')
	await serves(page)
	await isUndisturbed(page)
	await waits(page)
	assert.equal(await versionOf(page), 'v0.0.9')
	// Its time comes when no tab is left.
	await stopWorkers(page)
	await page.goto('about:blank')
	await page.goto(`${stand.app}/place?a=1#here`)
	await covered(page)
	assert.notEqual(await versionOf(page), 'v0.0.9')
	await expire(page, stand, 'proxy')
	await serves(page)
	assert.equal(await stand.logins(), page.logins)
})

test('a browser that keeps no cookies is asked for the login again, as without the plugin, and not in circles', async (t) => {
	const page = await launchWithoutCookies(t)
	atEnd(t, () => stand.configure({ Plugin: true, Options: null }))
	const logInInVain = async () => {
		page.visited = []
		await page.goto(`${stand.app}/place?a=1`)
		await atLogin(page)
		await mark(page)
		await logIn(page, stand)
		await until('another page', async () => !(await isMarked(page).catch(() => true)))
		await atLogin(page)
		return page.visited.map((url) => new URL(url).pathname)
	}
	const plugged = await logInInVain()
	await stand.configure({ Options: { ownServiceWorker: true } })
	const owned = await logInInVain()
	await stand.configure({ Plugin: false })
	const plain = await logInInVain()
	assert.deepEqual(plugged, plain)
	assert.deepEqual(
		owned.filter((path) => path !== '/place'),
		plain,
	)
})

test('cookies that are blocked in mid-use cost one failed edit, and the session is there once they are allowed', async (t) => {
	const page = await arrive(t, await launch(t, 'chromium', stand.keyHash))
	const settings = await newTab(page)
	await settings.goto('chrome://settings/content')
	await page.bringToFront()
	// A person does it on that page of Chromium's. When it has come about only a cookie tells,
	// of whatever page it is: the worker is to hear nothing of it.
	const keeps = () =>
		page.evaluate(async () => {
			await window.cookieStore.set('kept', 'yes').catch(() => {})
			return Boolean(await window.cookieStore.get('kept'))
		})
	const setCookies = async (value) => {
		await settings.evaluate((value) => window.chrome.send('setDefaultValueForContentType', ['cookies', value]), value)
		await until(`cookies: ${value}`, async () => (await keeps()) === (value === 'allow'))
	}
	await setCookies('block')
	await begin(page, '/api/edit', edit)
	await atLogin(page)
	assert.equal(done('/api/edit'), 0)
	assert.deepEqual(
		page.visited.map((url) => new URL(url).pathname),
		['/_reauth', '/if/flow/default-authentication-flow/'],
	)
	await setCookies('allow')
	await page.goto(`${stand.app}/place?a=1#here`)
	await covered(page)
	await serves(page)
	assert.equal(await stand.logins(), page.logins)
})

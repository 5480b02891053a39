// What else an app without a service worker gets, tried in Chromium: real apps, frames, a
// browser without JavaScript, and the real oauth2-proxy.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { logIn } from './actual.js'
import { serve, until } from './common.js'
import { atLogin, covered, isMarked, launch, mark, newTab, placeOf } from './engines.js'
import { startNodeRed } from './nodered.js'
import { on, owned, visit, visitFirst, workersOf } from './own.js'
import { atApp, begin, call, expire, logInAndBack, Pwa } from './pwa.js'
import { Stand } from './stand.js'

const isEditor = (page) => page.waitForFunction(() => Boolean(window.RED?.nodes.workspace?.('tab')))

// enterEditor opens Node-RED's editor by a first visit, and resolves once it is covered.
async function enterEditor(t, place) {
	const url = await startNodeRed(t)
	const { stand, page } = await visitFirst(t, 'chromium', { Upstream: url }, place, isEditor)
	await mark(page)
	return { url, stand, page }
}

test("Node-RED's editor deploys over the end of a session, and comes back from a login", async (t) => {
	const { url, stand, page } = await enterEditor(t, '/#flow/tab')
	const deploy = (label) =>
		page.evaluate((label) => {
			window.RED.nodes.workspace('tab').label = label
			window.RED.nodes.dirty(true)
			document.getElementById('red-ui-header-button-deploy').click()
		}, label)
	const deployed = (label) =>
		until('the deployed flow', async () =>
			(await (await fetch(`${url}/flows`)).json()).some((node) => node.id === 'tab' && node.label === label),
		)
	await expire(page, stand, 'proxy')
	await deploy('First')
	await deployed('First')
	assert(await isMarked(page))
	assert.equal(await stand.logins(), 1)
	await expire(page, stand, 'both')
	await begin(page, '/settings')
	await atLogin(page)
	await logIn(page, stand)
	await isEditor(page)
	assert.equal(await placeOf(page), `${stand.app}/#flow/tab`)
	await deploy('Second')
	await deployed('Second')
})

test("Node-RED's dashboard brings a worker of its own, beside the editor's", async (t) => {
	const { stand, page } = await enterEditor(t, '/')
	const dashboard = await newTab(page)
	await dashboard.goto(`${stand.app}/dashboard/page1`)
	const shown = () => dashboard.waitForFunction(() => document.body?.innerText.includes('State'))
	await shown()
	await covered(dashboard)
	// It takes the plugin's own for an older one of its own, and loads itself anew.
	const both = { '/': '/_reauth?reauth-worker', '/dashboard/': '/dashboard/sw.js' }
	await until('both workers', async () => isDeepStrictEqual(await workersOf(dashboard).catch(() => {}), both))
	await owned(page)
	// Its worker answers visits from its cache.
	await stand.expire('both')
	await dashboard.goto(`${stand.app}/dashboard/page1`)
	await atLogin(dashboard)
	await logIn(dashboard, stand)
	await shown()
	// It may have loaded itself anew before the trip, which it notes in its address.
	const place = new URL(await placeOf(dashboard))
	place.searchParams.delete('reloadTime')
	assert.equal(place.href, `${stand.app}/dashboard/page1`)
})

test('the page that shows how things stand can be read in the dark and on a phone', async (t) => {
	const { stand, page } = await visit(t, 'chromium')
	const colours = []
	for (const value of ['light', 'dark']) {
		await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value }])
		await page.setViewport({ width: 320, height: 600 })
		await page.goto(`${stand.app}/_reauth?status`)
		await owned(page)
		const { colour, overflows } = await page.evaluate(() => ({
			colour: getComputedStyle(document.body).color,
			overflows: document.documentElement.scrollWidth > window.innerWidth,
		}))
		colours.push(colour)
		assert(!overflows)
	}
	assert.deepEqual(colours, ['rgb(0, 0, 0)', 'rgb(255, 255, 255)'])
})

// frame opens a page of another host of the site that shows the app in a frame, and
// resolves to a function that resolves to the frame.
async function frame(t, stand, page) {
	const dashboard = await serve(t, { '/': `<!doctype html><iframe src="${stand.app}/framed?a=1"></iframe>` })
	await page.goto(dashboard('dashboard.example'))
	return () =>
		until('the frame', async () => {
			const frame = page.frames().find((frame) => frame !== page.mainFrame())
			return frame?.url().startsWith(stand.app) && frame
		})
}

test('a framed app whose sessions have ended says so, and goes on after a login in another tab', async (t) => {
	const { stand, page } = await visit(t, 'chromium')
	const framed = await frame(t, stand, page)
	await (await framed()).waitForSelector('#typed')
	await owned(await framed())
	// Silence goes on in a frame.
	await expire(await framed(), stand, 'proxy')
	assert.equal((await call(await framed(), '/api/a', { method: 'POST' })).status, 200)
	await expire(await framed(), stand, 'both')
	await begin(await framed(), '/api/a', { method: 'POST' })
	const link = await (await framed()).waitForSelector('#login[target=_blank]')
	const opened = new Promise((resolve) => page.once('popup', resolve))
	await link.click()
	const tab = await opened
	tab.setDefaultTimeout(60_000)
	await logInAndBack(tab, stand)
	assert.equal(await placeOf(tab), `${stand.app}/framed?a=1`)
	// Its first call shows that the session is good, and the frame hears of that.
	await call(tab, '/api/a')
	await (await framed()).waitForSelector('#typed')
	assert.equal((await framed()).url(), `${stand.app}/framed?a=1`)
	assert.equal(await stand.logins(), 2)
})

test('an app that one of its own pages has in a frame goes to the login in the tab, and back', async (t) => {
	const prepare = (app) => {
		app.pages['/frames'] = '<!doctype html><input id="typed"><iframe src="/framed"></iframe>'
	}
	const { stand, page } = await visit(t, 'chromium', { prepare })
	await page.goto(`${stand.app}/frames#here`)
	const framed = () => until('the frame', () => page.frames().find((frame) => frame.url().endsWith('/framed')))
	await (await framed()).waitForSelector('#typed')
	await expire(page, stand, 'both')
	await begin(await framed(), '/api/a', { method: 'POST' })
	await logInAndBack(page, stand)
	assert.equal(await placeOf(page), `${stand.app}/frames#here`)
})

test('without JavaScript a visit goes to the login and back', async (t) => {
	const app = await Pwa.start(t, {})
	const stand = await Stand.start(t, { Upstream: app.url, Plugin: true, Options: on })
	const page = await launch(t, 'chromium', stand.keyHash)
	await page.setJavaScriptEnabled(false)
	await page.goto(`${stand.app}/place?a=1&b=%22`)
	// What waits for a frame to be drawn waits for ever. Between two pages there is none.
	const shown = (selector) => until(selector, () => page.$(selector).catch(() => {}))
	await shown('[name=username]')
	for (const [name, value] of Object.entries({ username: stand.username, password: stand.password })) {
		await page.focus(`[name=${name}]`)
		await page.keyboard.type(value)
	}
	await page.keyboard.press('Enter')
	await shown('#typed')
	assert.equal(page.url(), `${stand.app}/place?a=1&b=%22`)
})

test('a hard reload, which no worker sees, leads to the login and back', async (t) => {
	const { stand, page } = await visit(t, 'chromium', { place: '/place?a=1' })
	await stand.expire('both')
	const session = await page.createCDPSession()
	await session.send('Page.reload', { ignoreCache: true })
	await logInAndBack(page, stand)
	assert.equal(await placeOf(page), `${stand.app}/place?a=1`)
	await owned(page)
})

for (const [what, host] of [
	['another host of the site', 'dashboard.example'],
	['another site', 'dashboard.other'],
]) {
	test(`a visit from ${what} goes the way that the auth server knows`, async (t) => {
		const app = await Pwa.start(t, {})
		const stand = await Stand.start(t, { Upstream: app.url, Plugin: true, Options: on })
		const page = await launch(t, 'chromium', stand.keyHash)
		const isSite = host === 'dashboard.example'
		const from = await serve(t, { '/': `<!doctype html><a href="${stand.app}/place?a=1">app</a>` })
		await page.goto(from(host))
		await page.click('a')
		await logInAndBack(page, stand)
		assert.equal(await placeOf(page), `${stand.app}/place?a=1`)
		if (isSite) await owned(page)
		assert.equal(Object.keys(await workersOf(page)).length, isSite ? 1 : 0)
		const visits = (await stand.requests()).filter(({ RequestPath }) => RequestPath.startsWith('/_reauth?login'))
		assert.deepEqual(visits, [])
	})
}

test("an app's worker that asks for visits itself leads to the login and to where the visit went", async (t) => {
	const worker = `addEventListener('fetch', (event) => event.respondWith(fetch(event.request)))`
	const app = await Pwa.start(t, { worker })
	const stand = await Stand.start(t, { Upstream: app.url, Plugin: true, Options: on })
	const page = await launch(t, 'chromium', stand.keyHash)
	await page.goto(`${stand.app}/before`)
	await logInAndBack(page, stand)
	await covered(page)
	await stand.expire('both')
	await page.evaluate(() => location.assign('/place?a=1#here'))
	await logInAndBack(page, stand)
	assert.equal(await placeOf(page), `${stand.app}/place?a=1#here`)
	await stand.expire('both')
	await page.reload()
	await logInAndBack(page, stand)
	assert.equal(await placeOf(page), `${stand.app}/place?a=1#here`)
})

test('a link to a file leaves the tab with something to read', async (t) => {
	const { stand, page } = await visit(t, 'chromium', {
		prepare: (app) => {
			app.downloads = ['/file']
		},
	})
	await stand.expire('proxy')
	await page.evaluate(() => location.assign('/file'))
	await page.waitForFunction(() => document.getElementById('in')?.hidden === false)
	assert.equal(await stand.logins(), 1)
})

test('behind oauth2-proxy an app without a worker is covered from its first visit on', async (t) => {
	const { app, stand, page } = await visit(t, 'chromium', {
		place: '/place?a=1#here',
		OAuth2Proxy: 'root',
		Options: { ...on, provider: 'oauth2-proxy' },
	})
	for (const OAuth2Proxy of ['root', 'auth', 'errors', 'rewrite']) {
		await stand.configure({ OAuth2Proxy })
		await expire(page, stand, 'proxy')
		app.calls.length = 0
		assert.equal((await call(page, '/api/edit', { method: 'POST', body: 'a' })).status, 200)
		assert.equal(app.calls.length, 1)
		assert(await isMarked(page))
		await expire(page, stand, 'both')
		await begin(page, '/api/edit', { method: 'POST', body: 'b' })
		await logInAndBack(page, stand)
		assert.equal(await placeOf(page), `${stand.app}/place?a=1#here`)
		await stand.expire('both')
		await page.goto(`${stand.app}/place?a=2`)
		await logInAndBack(page, stand)
		await page.goto(`${stand.app}/place?a=1#here`)
		await atApp(page)
		await mark(page)
	}
})

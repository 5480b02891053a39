// Nothing gets worse: what worked without the plugin works with it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
	addTransaction,
	atAccount,
	clients,
	expireAtSync,
	logInAndBack,
	open,
	readsBack,
	saved,
	syncUntil,
} from './actual.js'
import { covered, isMarked, mark } from './engines.js'
import { Stand } from './stand.js'

// stored resolves to the names of what the app keeps in the browser.
const stored = (page) =>
	page.evaluate(async () => ({
		caches: Object.fromEntries(
			await Promise.all(
				(await caches.keys())
					.filter((name) => name !== 'reauth')
					.sort()
					.map(async (name) => [name, (await (await caches.open(name)).keys()).map(({ url }) => url).sort()]),
			),
		),
		databases: (await indexedDB.databases()).map(({ name }) => name).sort(),
	}))

for (const client of clients) {
	test(`${client}: offline the app loads and takes edits, and syncs them later`, async (t) => {
		const stand = await Stand.start(t, { Actual: client, Plugin: true })
		const page = await open(t, stand)
		await covered(page)
		const before = await stored(page)
		await page.setOfflineMode(true)
		await stand.configure({ AppDown: true, AuthDown: true })
		await page.reload()
		await atAccount(page)
		await addTransaction(page, 'offline', '1.00')
		await stand.expire('proxy')
		await stand.configure({ AppDown: false, AuthDown: false })
		await page.setOfflineMode(false)
		await saved(page, stand)
		assert.deepEqual(await stored(page), before)
		await readsBack(t, stand, { notes: ['offline'] })
	})

	test(`${client}: nobody is sent anywhere while the auth server or the app is down`, async (t) => {
		const stand = await Stand.start(t, { Actual: client, Plugin: true })
		const page = await open(t, stand)
		await covered(page)
		await mark(page)
		for (const [down, status] of [
			[{ AuthDown: true }, 500],
			[{ AppDown: true }, 502],
		]) {
			await stand.configure(down)
			await syncUntil(page, stand, status)
			await addTransaction(page, `meanwhile-${status}`, '1.00')
			await stand.configure({ AuthDown: false, AppDown: false })
			await saved(page, stand)
		}
		assert(await isMarked(page))
		assert.equal(await stand.logins(), 1)
		await readsBack(t, stand, { notes: ['meanwhile-500', 'meanwhile-502'] })
	})

	test(`${client}: a hard reload is covered from the next load on, and without a worker a reload leads to the login`, async (t) => {
		const stand = await Stand.start(t, { Actual: client, Plugin: true })
		const page = await open(t, stand)
		// The first visit ever.
		await covered(page)
		const session = await page.createCDPSession()
		await session.send('Page.reload', { ignoreCache: true })
		await page.waitForNavigation()
		await atAccount(page)
		assert.equal(await page.evaluate(() => navigator.serviceWorker.controller), null)
		await page.reload()
		await atAccount(page)
		await covered(page)
		await addTransaction(page, 'covered', '1.00')
		await expireAtSync(page, stand, 'proxy')
		await saved(page, stand)

		// A private window without workers loads everything from the network.
		await session.send('Network.enable')
		await session.send('Network.setBypassServiceWorker', { bypass: true })
		const place = page.url()
		await stand.expire('both')
		await page.reload()
		await logInAndBack(page, stand)
		assert.equal(page.url(), place)
		await readsBack(t, stand, { notes: ['covered'] })
	})
}

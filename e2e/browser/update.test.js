// The app is updated, and the plugin removed, under the eyes of the browser.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addTransaction, atAccount, clients, offersUpdate, open, readsBack, saved, syncs } from './actual.js'
import { until } from './common.js'
import { covered, distrust, isMarked, mark } from './engines.js'
import { Stand } from './stand.js'

const [current, old] = clients

// findUpdate has the browser look for a new worker and resolves once one waits
// for the old one's tabs to close. The page is not loaded anew for that: while
// Actual starts it applies an update by itself.
const findUpdate = (page) =>
	page.evaluate(async () => {
		const registration = await navigator.serviceWorker.getRegistration()
		const next = new Promise((resolve) => {
			registration.addEventListener('updatefound', () => resolve(registration.installing), { once: true })
		})
		await registration.update()
		const found = registration.installing ?? registration.waiting ?? (await next)
		while (found.state === 'installing') {
			await new Promise((resolve) => found.addEventListener('statechange', resolve, { once: true }))
		}
		return found.state
	})

// takeUpdate does what the app's own button does, and loads the page anew.
async function takeUpdate(page) {
	await page
		.evaluate(async () => {
			const registration = await navigator.serviceWorker.getRegistration()
			const changed = new Promise((resolve) => {
				navigator.serviceWorker.addEventListener('controllerchange', resolve)
			})
			registration.waiting.postMessage({ type: 'SKIP_WAITING' })
			await changed
		})
		.catch((error) => {
			// The app may be quicker with loading its page anew.
			if (!/context was destroyed|detached/i.test(error.message)) throw error
		})
	await page.reload()
}

// scripts resolves to the scripts that the page was loaded with.
const scripts = (page) => page.$$eval('script[src]', (elements) => elements.map(({ src }) => src).sort())

const renewals = async (stand) =>
	(await stand.requests()).filter((request) => request.RequestPath === '/_reauth' && request.DownstreamStatus === 302)
		.length

for (const [from, to] of [
	[old, current],
	[current, old],
]) {
	test(`an update from ${from} to ${to} waits until the person wants it, whatever the session`, async (t) => {
		const stand = await Stand.start(t, { Actual: from, Plugin: true })
		const page = await open(t, stand)
		await covered(page)
		await addTransaction(page, 'before', '1.00')
		await saved(page, stand)
		const before = await scripts(page)
		// Looking for an update with the session expired finds none, and leaves the
		// next one to be found.
		await stand.expire('proxy', '/sw.js')
		assert.equal(await findUpdate(page), 'redundant')
		await page.reload()
		await atAccount(page)
		await stand.configure({ Actual: to })
		await mark(page)
		assert.equal(await findUpdate(page), 'installed')
		await until('the offer', () => offersUpdate(page))
		assert(await isMarked(page))
		assert.deepEqual(await scripts(page), before)

		await takeUpdate(page)
		await until('the new version', async () => {
			const now = await scripts(page)
			return now.length > 0 && now.join() !== before.join()
		})
		await covered(page)
		const renewed = await renewals(stand)
		await stand.expire('proxy')
		await distrust(page, stand)
		assert.equal(await page.evaluate(async () => (await fetch('/account/needs-bootstrap')).status), 200)
		assert.equal(await renewals(stand), renewed + 1)
		assert.equal(await stand.logins(), 1)
		// The old client cannot open the new one's budget, which the new one still can.
		await stand.configure({ Actual: current })
		await readsBack(t, stand, { notes: ['before'] })
	})
}

for (const client of clients) {
	test(`${client}: the plugin removed again leaves the app as it was`, async (t) => {
		const stand = await Stand.start(t, { Actual: client, Plugin: true })
		const page = await open(t, stand)
		await covered(page)
		await addTransaction(page, 'with', '1.00')
		await saved(page, stand)
		await stand.configure({ Plugin: false })
		assert.equal(await findUpdate(page), 'installed')
		await takeUpdate(page)
		await atAccount(page)
		await addTransaction(page, 'without', '1.00')
		await saved(page, stand)
		assert.equal(await syncs(stand, 401), 0)
		await readsBack(t, stand, { notes: ['with', 'without'] })
	})
}

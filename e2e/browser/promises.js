// What is promised in every engine, told once.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
	addTransaction,
	expireAtSync,
	logIn,
	offersUpdate,
	open,
	readBack,
	saved,
	setBudget,
	showBudget,
	submitTransaction,
	syncInVain,
	syncs,
	typedNotes,
	typeTransaction,
} from './actual.js'
import { atLogin, covered, isMarked, mark, placeOf } from './browser.js'
import { Stand } from './stand.js'

// timing tells what lay between a refused sync and its replay, by Traefik's own
// account, and how long a sync takes that is not refused.
async function timing(stand) {
	const requests = await stand.requests()
	const isSync = ({ RequestMethod, RequestPath }) => RequestMethod === 'POST' && RequestPath === '/sync/sync'
	const refused = requests.findIndex((request) => isSync(request) && request.DownstreamStatus === 401)
	const replayed = requests.findIndex(
		(request, i) => i > refused && isSync(request) && request.DownstreamStatus === 200,
	)
	const [first, second] = [requests[refused], requests[replayed]]
	const between = requests.slice(refused + 1, replayed)
	const added = Date.parse(second.StartUTC) - Date.parse(first.StartUTC)
	const good = requests.slice(0, refused).filter((request) => isSync(request))
	const plain = good.reduce((sum, request) => sum + request.Duration / 1e6, 0) / good.length
	return `${between.length} round trips between the refused sync and its replay, which left ${added} ms after it; a sync takes ${plain.toFixed(1)} ms`
}

// hold tests the promises with a client of Actual in an engine.
export function hold(engine, client) {
	const promise = (what, run) => test(`${engine}, ${client}: ${what}`, run)

	promise('from the first visit on a refused sync is replayed and nothing is noticed', async (t) => {
		const stand = await Stand.start(t, { Actual: client, Plugin: true })
		const page = await open(t, stand, engine)
		await covered(page)
		await addTransaction(page, 'before', '1.00')
		await saved(page, stand)

		await mark(page)
		await typeTransaction(page, 'during', '2.00')
		await expireAtSync(page, stand, 'proxy')
		await saved(page, stand)
		assert.equal(await syncs(stand, 401), 1)
		assert.equal(await typedNotes(page), 'during')
		await submitTransaction(page, 'during')
		t.diagnostic(await timing(stand))
		await showBudget(page)
		await setBudget(page, '12.34')
		await expireAtSync(page, stand, 'proxy')
		await saved(page, stand)
		assert(await isMarked(page))
		assert(await page.evaluate(() => crossOriginIsolated))
		assert(!(await offersUpdate(page)))
		assert.equal(await stand.logins(), 1)
		assert.deepEqual(await readBack(t, stand, { engine }), { budget: '12.34', notes: ['before', 'during'] })
	})

	promise('one login leads back to the same place with every edit', async (t) => {
		const stand = await Stand.start(t, { Actual: client, Plugin: true })
		const page = await open(t, stand, engine)
		await covered(page)
		await addTransaction(page, 'before', '1.00')
		await saved(page, stand)
		const place = `${await placeOf(page)}?a=1&b=%2F#here`
		await page.evaluate((url) => history.pushState(history.state, '', url), place)

		await addTransaction(page, 'during', '2.00')
		await expireAtSync(page, stand, 'both')
		await atLogin(page)
		assert.equal(await stand.logins(), 1)
		await logIn(page, stand)
		await page.waitForSelector('[data-testid="transaction-table"]')
		assert.equal(await placeOf(page), place)
		assert(await page.evaluate(() => crossOriginIsolated))
		await showBudget(page)
		await setBudget(page, '5.00')
		await saved(page, stand)
		assert(!(await offersUpdate(page)))
		assert.equal(await stand.logins(), 2)
		assert.deepEqual(await readBack(t, stand, { engine }), { budget: '5.00', notes: ['before', 'during'] })
	})

	promise('a cancelled login is not forced again, and after a login the next one is', async (t) => {
		const stand = await Stand.start(t, { Actual: client, Plugin: true })
		const page = await open(t, stand, engine)
		await covered(page)
		const place = await placeOf(page)
		await addTransaction(page, 'kept', '1.00')
		await expireAtSync(page, stand, 'both')
		await atLogin(page)
		await page.goBack()
		await page.waitForSelector('[data-testid="transaction-table"]')
		assert.equal(await placeOf(page), place)

		await mark(page)
		await syncInVain(page, stand)
		await addTransaction(page, 'offline', '2.00')
		assert(await isMarked(page))

		// The person chooses to log in: all goes on, and the loop stop is not in the
		// way of the next expiry.
		await page.goto(`${stand.app}/_reauth`)
		await atLogin(page)
		await logIn(page, stand)
		await page.waitForSelector('[data-testid="transaction-table"]')
		await saved(page, stand)
		await expireAtSync(page, stand, 'both')
		await atLogin(page)
		await logIn(page, stand)
		await page.waitForSelector('[data-testid="transaction-table"]')
		await saved(page, stand)
		assert.deepEqual(await readBack(t, stand, { engine }), { budget: '0.00', notes: ['kept', 'offline'] })
	})

	for (const session of ['good', 'proxy', 'both']) {
		promise(`an installation from before the plugin heals at its next load, expired: ${session}`, async (t) => {
			const stand = await Stand.start(t, { Actual: client, Plugin: false })
			const page = await open(t, stand, engine)
			await addTransaction(page, 'before', '1.00')
			await saved(page, stand)
			const place = await placeOf(page)
			// In this order: without the plugin Actual 26.9 heals itself, in its way.
			await stand.configure({ Plugin: true })
			if (session !== 'good') await stand.expire(session)
			await page.reload()
			if (session === 'both') {
				await atLogin(page)
				await logIn(page, stand)
			}
			await covered(page)
			await page.waitForSelector('[data-testid="transaction-table"]')
			assert.equal(await placeOf(page), place)
			assert.equal(await stand.logins(), session === 'both' ? 2 : 1)
			await addTransaction(page, 'healed', '2.00')
			await saved(page, stand)
			await expireAtSync(page, stand, 'proxy')
			await saved(page, stand)
			assert(!(await offersUpdate(page)))
			assert.deepEqual(await readBack(t, stand, { engine }), { budget: '0.00', notes: ['before', 'healed'] })
		})
	}
}

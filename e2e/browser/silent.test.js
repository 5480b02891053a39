// The SSO session lives: the session is renewed behind the scenes.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
	addTransaction,
	clients,
	expireAtSync,
	isSync,
	open,
	readBack,
	saved,
	setBudget,
	showBudget,
	submitTransaction,
	syncs,
	typedNotes,
	typeTransaction,
} from './actual.js'
import { covered, isMarked, mark, newTab } from './browser.js'
import { Stand } from './stand.js'

// timing tells what lay between a refused sync and its replay, by Traefik's own
// account, and how long a sync takes that is not refused.
async function timing(stand) {
	const requests = await stand.requests()
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

for (const client of clients) {
	test(`${client}: a refused sync is replayed and nothing is noticed`, async (t) => {
		const stand = await Stand.start(t, { Actual: client, Plugin: true })
		const page = await open(t, stand)
		await covered(page)
		await addTransaction(page, 'before', '1.00')
		await saved(page, stand)

		await mark(page)
		page.visited.length = 0
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
		assert.equal(await stand.logins(), 1)
		assert.deepEqual(await readBack(t, stand), { budget: '12.34', notes: ['before', 'during'] })
	})

	test(`${client}: ten expiries in a row, some while the tab is hidden`, async (t) => {
		const stand = await Stand.start(t, { Actual: client, Plugin: true })
		const page = await open(t, stand)
		await covered(page)
		await mark(page)
		page.visited.length = 0
		const notes = []
		for (let i = 0; i < 10; i++) {
			await addTransaction(page, `edit-${i}`, '1.00')
			notes.push(`edit-${i}`)
			const front = i % 3 === 0 && (await newTab(page))
			if (front) await page.waitForFunction(() => document.hidden, { polling: 20 })
			await expireAtSync(page, stand, 'proxy')
			await saved(page, stand)
			if (front) await front.close()
		}
		assert(await isMarked(page), `the tab went to ${page.visited.join(' and ')}`)
		assert.equal(await syncs(stand, 401), 10)
		assert.equal(await stand.logins(), 1)
		assert.deepEqual((await readBack(t, stand)).notes, notes)
	})
}

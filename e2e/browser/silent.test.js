// The SSO session lives: the session is renewed behind the scenes.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addTransaction, open, readBack, saved, setBudget, showAccount, showBudget, sync, submitTransaction, syncs, typedNotes, typeTransaction } from './actual.js'
import { covered, isMarked, mark, until } from './browser.js'
import { Stand } from './stand.js'

for (const client of ['26.9.0', '25.2.0']) {
	test(`${client}: a refused sync is replayed and nothing is noticed`, async (t) => {
		const stand = await Stand.start(t, { Actual: client, Plugin: true })
		const page = await open(t, stand)
		await covered(page)
		await addTransaction(page, 'before', '1.00')
		await saved(page, stand)

		await mark(page)
		page.visited.length = 0
		await typeTransaction(page, 'during', '2.00')
		await stand.expire('proxy')
		await sync(page)
		await until('a refused sync', () => syncs(stand, 401))
		await saved(page, stand)
		assert.equal(await typedNotes(page), 'during')
		await submitTransaction(page, 'during')
		assert(await isMarked(page))
		assert.deepEqual(page.visited, [])
		assert(await page.evaluate(() => crossOriginIsolated))
		await showBudget(page)
		await setBudget(page, '12.34')
		await saved(page, stand)
		assert.deepEqual(await readBack(t, stand), { budget: '12.34', notes: ['before', 'during'] })
	})
}

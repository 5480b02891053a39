// The SSO session is gone: one tab goes to the login and comes back.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addTransaction, logIn, open, readBack, saved, showBudget, setBudget, sync, syncs, typeTransaction } from './actual.js'
import { covered, until } from './browser.js'
import { Stand } from './stand.js'

for (const client of ['26.9.0', '25.2.0']) {
	test(`${client}: one login leads back to the same page with every edit`, async (t) => {
		const stand = await Stand.start(t, { Actual: client, Plugin: true })
		const page = await open(t, stand)
		await covered(page)
		await addTransaction(page, 'before', '1.00')
		await saved(page, stand)
		const place = `${page.url()}?a=1&b=%2F#here`
		await page.evaluate((url) => history.pushState(history.state, '', url), place)

		await stand.expire('both')
		await addTransaction(page, 'during', '2.00')
		await page.waitForSelector('[name=username]')
		assert.equal(await stand.logins(), 1)
		page.visited.length = 0
		await logIn(page, stand)
		await page.waitForSelector('[data-testid="transaction-table"]')
		console.log(page.visited)
		assert.equal(page.url(), place)
		await addTransaction(page, 'after', '3.00')
		await saved(page, stand)
		assert.equal(await stand.logins(), 2)
		assert.deepEqual(await readBack(t, stand), { budget: '', notes: ['after', 'before', 'during'] })
	})
}

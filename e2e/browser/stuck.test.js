// Installations from before the plugin: they heal at their next load.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addTransaction, clients, expireAtSync, logIn, open, readBack, saved } from './actual.js'
import { atLogin, covered } from './browser.js'
import { Stand } from './stand.js'

for (const client of clients) {
	for (const session of ['good', 'proxy', 'both']) {
		test(`${client}: an installation from before the plugin, expired: ${session}`, async (t) => {
			const stand = await Stand.start(t, { Actual: client, Plugin: false })
			const page = await open(t, stand)
			await addTransaction(page, 'before', '1.00')
			await saved(page, stand)
			const place = page.url()
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
			assert.equal(page.url(), place)
			assert.equal(await stand.logins(), session === 'both' ? 2 : 1)
			await addTransaction(page, 'healed', '2.00')
			await expireAtSync(page, stand, 'proxy')
			await saved(page, stand)
			assert.deepEqual(await readBack(t, stand), { budget: '0.00', notes: ['before', 'healed'] })
		})
	}
}

// Installations from before the plugin: they heal at their next load.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addTransaction, clients, logIn, open, readBack, saved, syncs } from './actual.js'
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
			if (session !== 'good') await stand.expire(session)
			await stand.configure({ Plugin: true })
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
			await saved(page, stand)
			await stand.expire('proxy')
			await saved(page, stand)
			assert(await syncs(stand, 401))
			assert.deepEqual(await readBack(t, stand), { budget: '0.00', notes: ['before', 'healed'] })
		})
	}
}

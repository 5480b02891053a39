// The SSO session lives: the session is renewed behind the scenes.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addTransaction, clients, expireAtSync, open, readsPaymentsBack, saved, syncs } from './actual.js'
import { covered, isMarked, mark, newTab } from './engines.js'
import { soak } from './soak.js'
import { Stand } from './stand.js'

// How many sessions end in the soak: make soak has more of them.
const EXPIRIES = Number(process.env.SOAK || 10)

for (const client of clients) {
	test(`${client}: ten expiries in a row, some while the tab is hidden, and ${EXPIRIES} while payments are typed`, async (t) => {
		const stand = await Stand.start(t, { Actual: client, Plugin: true })
		const page = await open(t, stand)
		await covered(page)
		await mark(page)
		page.visited.length = 0
		const payments = []
		for (let i = 0; i < 10; i++) {
			await addTransaction(page, `edit-${i}`, '1.00')
			payments.push({ notes: `edit-${i}`, amount: -100 })
			const front = i % 3 === 0 && (await newTab(page))
			if (front) await page.waitForFunction(() => document.hidden, { polling: 20 })
			await expireAtSync(page, stand, 'proxy')
			await saved(page, stand)
			if (front) await front.close()
		}
		assert(await isMarked(page), `the tab went to ${page.visited.join(' and ')}`)
		assert.equal(await syncs(stand, 401), 10)
		assert.equal(await stand.logins(), 1)

		payments.push(...(await soak(t, stand, page, EXPIRIES)))
		await readsPaymentsBack(t, stand, payments)
	})
}

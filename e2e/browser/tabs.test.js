// Several tabs of one profile.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addTransaction, clients, logInAndBack, open, readsBack, saved, sync, syncs } from './actual.js'
import { covered, isMarked, mark, newTab } from './engines.js'
import { Stand } from './stand.js'

for (const client of clients) {
	for (const count of [2, 5]) {
		test(`${client}: ${count} tabs renew in silence, and only the one in front goes to the login`, async (t) => {
			const stand = await Stand.start(t, { Actual: client, Plugin: true })
			const first = await open(t, stand)
			await covered(first)
			const place = first.url()
			const tabs = [first]
			while (tabs.length < count) {
				const tab = await newTab(first)
				await tab.goto(place)
				await tab.locator('[data-testid="transaction-table"]').wait()
				tabs.push(tab)
			}
			for (const tab of tabs) await mark(tab)
			const front = tabs.at(-1)

			await stand.expire('proxy', '/sync/sync')
			await Promise.all(tabs.map((tab) => sync(tab)))
			await addTransaction(front, 'silent', '1.00')
			await saved(front, stand)
			assert(await syncs(stand, 401))
			for (const tab of tabs) assert(await isMarked(tab))
			assert.equal(await stand.logins(), 1)

			await stand.expire('both')
			for (const tab of tabs) tab.visited.length = 0
			await Promise.all(tabs.map((tab) => sync(tab)))
			await logInAndBack(front, stand)
			assert.equal(front.url(), place)
			await addTransaction(front, 'later', '2.00')
			await saved(front, stand)
			for (const tab of tabs.slice(0, -1)) {
				assert(await isMarked(tab))
				assert.deepEqual(tab.visited, [])
			}
			assert.equal(await stand.logins(), 2)
			await readsBack(t, stand, { notes: ['later', 'silent'] })
		})
	}
}

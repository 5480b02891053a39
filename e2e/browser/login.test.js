// The SSO session is gone: one tab goes to the login and comes back.
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
	syncInVain,
} from './actual.js'
import { until } from './common.js'
import { covered, isMarked, mark, newTab } from './engines.js'
import { Stand } from './stand.js'

for (const client of clients) {
	test(`${client}: a tab in the background is never sent to the login`, async (t) => {
		const stand = await Stand.start(t, { Actual: client, Plugin: true })
		const page = await open(t, stand)
		await covered(page)
		const front = await newTab(page)
		await page.waitForFunction(() => document.hidden, { polling: 20 })
		await mark(page)
		await stand.expire('both')
		await syncInVain(page)
		assert(await isMarked(page))
		await front.close()
		await page.bringToFront()
		// Actual syncs when its tab shows.
		await logInAndBack(page, stand)
		await addTransaction(page, 'shown', '1.00')
		await saved(page, stand)
		await readsBack(t, stand, { notes: ['shown'] })
	})

	test(`${client}: consent that is asked for each time takes one trip`, async (t) => {
		const stand = await Stand.start(t, { Actual: client, Plugin: true })
		const page = await open(t, stand)
		await covered(page)
		await stand.behave({ ExplicitConsent: true })
		await addTransaction(page, 'consented', '1.00')
		await expireAtSync(page, stand, 'proxy')
		await page.locator('::-p-xpath(//h1[text()="Continue to the app?"])').wait()
		page.visited.length = 0
		await page.locator('button').click()
		await atAccount(page)
		await saved(page, stand)
		assert.equal(await stand.logins(), 1)
		await readsBack(t, stand, { notes: ['consented'] }, { consent: (page) => page.locator('button').click() })
	})

	test(`${client}: an auth server on another site takes one trip, and no login while its session lives`, async (t) => {
		const stand = await Stand.start(t, { Actual: client, Plugin: true, ForeignAuth: true })
		const page = await open(t, stand)
		await covered(page)
		const place = page.url()
		await mark(page)
		await addTransaction(page, 'abroad', '1.00')
		await expireAtSync(page, stand, 'proxy')
		await until('the trip', async () => !(await isMarked(page).catch(() => true)))
		await atAccount(page)
		assert.equal(page.url(), place)
		await saved(page, stand)
		assert.equal(await stand.logins(), 1)
		await readsBack(t, stand, { notes: ['abroad'] })
	})

	test(`${client}: a session cookie that is gone is a session that has expired`, async (t) => {
		const stand = await Stand.start(t, { Actual: client, Plugin: true })
		const page = await open(t, stand)
		await covered(page)
		await mark(page)
		const cookies = await page.browser().cookies()
		const session = cookies.filter(({ name }) => name === stand.cookie)
		assert.equal(session.length, 1)
		await page.browser().deleteCookie(...session)
		await addTransaction(page, 'cookieless', '1.00')
		await saved(page, stand)
		assert((await stand.requests()).some(({ RequestPath }) => RequestPath === '/_reauth'))
		assert(await isMarked(page))
		assert.equal(await stand.logins(), 1)
		await readsBack(t, stand, { notes: ['cookieless'] })
	})
}

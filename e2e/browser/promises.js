// What is promised in every engine, told once. A promise's note says what an
// engine cannot do, and why; the table of the outcomes shows it (see table.js).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
	addTransaction,
	atAccount,
	expireAtSync,
	logIn,
	logInAndBack,
	offersUpdate,
	open,
	readsBack,
	saved,
	setBudget,
	showBudget,
	submitTransaction,
	syncInVain,
	syncs,
	typedNotes,
	typeTransaction,
} from './actual.js'
import { atLogin, covered, isMarked, mark, placeOf } from './engines.js'
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

// findsUpdate has the browser look for a new worker and tells whether it takes
// what it gets for one.
const findsUpdate = (page) =>
	page.evaluate(async () => {
		const registration = await navigator.serviceWorker.getRegistration()
		let found = false
		registration.addEventListener('updatefound', () => {
			found = true
		})
		await registration.update()
		return found || Boolean(registration.installing ?? registration.waiting)
	})

// enter makes a budget behind the plugin, on the first visit ever, and resolves once
// the page is covered.
async function enter(t, engine, client, settings) {
	const stand = await Stand.start(t, { Actual: client, Plugin: true, ...settings })
	const page = await open(t, stand, engine)
	await covered(page)
	return { stand, page }
}

export async function replays(t, engine, client, settings) {
	const { stand, page } = await enter(t, engine, client, settings)
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
	assert.equal(await stand.logins(), 1)
	await readsBack(t, stand, { budget: '12.34', notes: ['before', 'during'] }, { engine })
}

export async function comesBack(t, engine, client, settings) {
	const { stand, page } = await enter(t, engine, client, settings)
	await addTransaction(page, 'before', '1.00')
	await saved(page, stand)
	const place = `${await placeOf(page)}?a=1&b=%2F`
	await page.evaluate((url) => history.pushState(history.state, '', url), `${place}#here`)
	const fragment = (await page.evaluate(() => 'navigation' in window)) ? '#here' : ''
	if (!fragment) t.diagnostic('note: without the fragment, as the engine has no Navigation API')

	await addTransaction(page, 'during', '2.00')
	await expireAtSync(page, stand, 'both')
	await atLogin(page)
	assert.equal(await stand.logins(), 1)
	await logIn(page, stand)
	await atAccount(page)
	assert.equal(await placeOf(page), place + fragment)
	assert(await page.evaluate(() => crossOriginIsolated))
	await showBudget(page)
	await setBudget(page, '5.00')
	await saved(page, stand)
	assert.equal(await stand.logins(), 2)
	await readsBack(t, stand, { budget: '5.00', notes: ['before', 'during'] }, { engine })
}

async function doesNotLoop(t, engine, client) {
	const { stand, page } = await enter(t, engine, client)
	const place = await placeOf(page)
	await addTransaction(page, 'kept', '1.00')
	await expireAtSync(page, stand, 'both')
	await atLogin(page)
	if (engine === 'webkit') {
		// Its driver loses a page that is gone back to.
		t.diagnostic(
			'note: cancelled by opening the app anew, as [drivers lose a page of another browsing context group](https://github.com/w3c/webdriver/issues/1696)',
		)
		await page.goto(place)
	} else {
		await page.goBack()
	}
	await atAccount(page)
	assert.equal(await placeOf(page), place)

	await mark(page)
	await syncInVain(page)
	await addTransaction(page, 'offline', '2.00')
	assert(await isMarked(page))

	// The person chooses to log in: all goes on, and the loop stop is not in the
	// way of the next expiry.
	await page.goto(`${stand.app}/_reauth?rd=${encodeURIComponent(new URL(place).pathname)}`)
	await logInAndBack(page, stand)
	await saved(page, stand)
	await expireAtSync(page, stand, 'both')
	await logInAndBack(page, stand)
	await saved(page, stand)
	await readsBack(t, stand, { notes: ['kept', 'offline'] }, { engine })
}

const heals = (session) => async (t, engine, client) => {
	const stand = await Stand.start(t, { Actual: client, Plugin: false })
	const page = await open(t, stand, engine)
	await addTransaction(page, 'before', '1.00')
	await saved(page, stand)
	const place = await placeOf(page)
	// Actual serves 500 requests a minute, and two loads come near that. A server that
	// has just started has not counted any.
	await stand.configure({ AppDown: true })
	// In this order: without the plugin Actual 26.9 heals itself, in its way.
	await stand.configure({ AppDown: false, Plugin: true })
	if (session !== 'good') await stand.expire(session)
	await page.reload()
	if (session === 'both') {
		await atLogin(page)
		await logIn(page, stand)
	}
	await covered(page)
	await atAccount(page)
	assert.equal(await placeOf(page), place)
	assert.equal(await stand.logins(), session === 'both' ? 2 : 1)
	await addTransaction(page, 'healed', '2.00')
	await saved(page, stand)
	await expireAtSync(page, stand, 'proxy')
	await saved(page, stand)
	await readsBack(t, stand, { notes: ['before', 'healed'] }, { engine })
}

async function offersNoUpdate(t, engine, client) {
	const { stand, page } = await enter(t, engine, client)
	await addTransaction(page, 'kept', '1.00')
	await saved(page, stand)
	assert(!(await findsUpdate(page)), 'after the first visit')
	await page.reload()
	await atAccount(page)
	assert(!(await findsUpdate(page)), 'after a reload')
	await expireAtSync(page, stand, 'both')
	await logInAndBack(page, stand)
	await saved(page, stand)
	assert(!(await findsUpdate(page)), 'after a login')
	assert(!(await offersUpdate(page)))
	await readsBack(t, stand, { notes: ['kept'] }, { engine })
}

// The promises, by what they say.
export const promises = {
	'from the first visit on a refused sync is replayed and nothing is noticed': replays,
	'one login leads back to the same place with every edit': comesBack,
	'a cancelled login is not forced again, and after a login the next one is': doesNotLoop,
	'an installation from before the plugin heals at its next load, expired: good': heals('good'),
	'an installation from before the plugin heals at its next load, expired: proxy': heals('proxy'),
	'an installation from before the plugin heals at its next load, expired: both': heals('both'),
	'no update is offered where nothing was updated': offersNoUpdate,
}

// hold tests the promises with a client of Actual in an engine.
export function hold(engine, client) {
	for (const [what, keep] of Object.entries(promises)) {
		test(`${engine}, ${client}: ${what}`, (t) => keep(t, engine, client))
	}
}

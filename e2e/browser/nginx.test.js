// Nginx in front, as examples/nginx says: https on a port that is not the default.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addTransaction, clients, expireAtSync, logIn, open, saved, syncs } from './actual.js'
import { atLogin, covered, isMarked, mark, placeOf } from './engines.js'
import { begin, call, enterCovered, expire, handWritten, refused } from './pwa.js'
import { Stand } from './stand.js'

test('through nginx a refused call is replayed with its body, large or not', async (t) => {
	const { app, stand, page } = await enterCovered(t, handWritten, { Nginx: true })
	assert.match(stand.app, /^https:.*:\d+$/)
	for (const length of [1000, 8 * 1024 * 1024]) {
		await stand.expire('proxy', '/api/save')
		const answer = await page.evaluate(async (length) => {
			const response = await fetch('/api/save', {
				method: 'POST',
				body: new Uint8Array(length).fill(length % 251),
				headers: { 'Content-Type': 'application/x-app' },
			})
			return response.json()
		}, length)
		assert.deepEqual(answer, { method: 'POST', path: '/api/save', length })
		assert(app.calls.at(-1).body.every((byte) => byte === length % 251))
	}
	assert.equal(await refused(stand, '/api/save'), 2)
	assert.equal(app.calls.length, 2)
	assert(await isMarked(page))
	assert.deepEqual(page.visited, [])
	assert.equal(await stand.logins(), 1)
})

test('through nginx one trip to the login leads back to the same place', async (t) => {
	const { stand, page } = await enterCovered(t, handWritten, { Nginx: true })
	const place = `${stand.app}/deep/er?x=1&y=a%2Fb#part`
	await page.evaluate((place) => history.pushState(null, '', place), place)
	await expire(page, stand, 'both')
	await begin(page, '/api/a')
	await atLogin(page)
	assert(page.url().startsWith(`${stand.auth}/`), page.url())
	await logIn(page, stand)
	await page.locator('#typed').wait()
	assert.equal(await placeOf(page), place)
	assert.equal((await call(page, '/api/a')).status, 200)
	assert.equal(await stand.logins(), 2)
})

test('CORS headers at nginx do not let a script follow the login, but for those that let in anyone', async (t) => {
	const { stand, page } = await enterCovered(t, handWritten, { Nginx: true })
	// The plugin leaves it alone: without the plugin every call is led to the login.
	const led = () => call(page, '/outpost.goauthentik.io/start?rd=%2F', { credentials: 'include' })
	assert.deepEqual(await led(), { error: 'TypeError' })
	const allow = (origin) =>
		stand.configure({
			NginxLines: `
				add_header Access-Control-Allow-Origin ${origin} always;
				add_header Access-Control-Allow-Credentials true always;
			`,
		})
	await allow('*')
	assert.deepEqual(await led(), { error: 'TypeError' })
	await allow('$http_origin')
	assert.equal((await led()).status, 200)
})

test('through nginx a refused sync of Actual is replayed and nothing is noticed', async (t) => {
	const stand = await Stand.start(t, { Actual: clients[0], Nginx: true })
	const page = await open(t, stand)
	await covered(page)
	await mark(page)
	await addTransaction(page, 'during', '2.00')
	await expireAtSync(page, stand, 'proxy')
	await saved(page, stand)
	assert.equal(await syncs(stand, 401), 1)
	assert(await isMarked(page))
	assert(await page.evaluate(() => crossOriginIsolated))
	assert.equal(await stand.logins(), 1)
})

// A large budget file is uploaded with a session that has just expired.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addTransaction, clients, fill, open, openAnew, saved, showAccount, showsPayment } from './actual.js'
import { until } from './common.js'
import { covered, isMarked, mark } from './engines.js'
import { Stand } from './stand.js'

// How many bytes the budget grows by. The file is compressed.
const SIZE = 2 * 1024 * 1024

const uploads = async (stand, status) =>
	(await stand.requests()).filter(
		(request) => request.RequestPath === '/sync/upload-user-file' && request.DownstreamStatus === status,
	)

for (const client of clients) {
	test(`${client}: the upload of a large budget file is sent again, whole`, async (t) => {
		const stand = await Stand.start(t, { Actual: client, Plugin: true })
		const page = await open(t, stand)
		await covered(page)
		await addTransaction(page, 'kept', '1.00')
		await saved(page, stand)
		await fill(page, SIZE)
		await saved(page, stand)
		await mark(page)
		const before = (await uploads(stand, 200)).length
		await stand.expire('proxy', '/sync/upload-user-file')
		await page.evaluate(() => {
			window.$send('upload-budget', {})
		})
		await until('the upload', async () => (await uploads(stand, 200)).length > before)
		const [upload] = (await uploads(stand, 200)).slice(-1)
		assert(upload.RequestContentSize > SIZE / 2, `${upload.RequestContentSize} bytes`)
		assert.equal((await uploads(stand, 401)).length, 1)
		assert(await isMarked(page))
		assert.equal(await stand.logins(), 1)
		const other = await openAnew(t, stand)
		await showAccount(other)
		await showsPayment(other, 'kept')
	})
}

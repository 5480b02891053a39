// Draws the page that tells how things stand, of an app that has the plugin's own worker
// and a session that was renewed in silence, into the file that is its argument.
import { owned, visit } from './own.js'
import { expire, call } from './pwa.js'

const ends = []
const run = { after: (end) => ends.push(end) }
try {
	const { stand, page } = await visit(run, 'chromium', { KnownEnd: true })
	await expire(page, stand, 'proxy')
	await call(page, '/api/edit', { method: 'POST' })
	await page.setViewport({ width: 640, height: 560, deviceScaleFactor: 1 })
	await page.goto(`${stand.app}/_reauth?status`)
	await owned(page)
	await page.waitForFunction(() => document.getElementById('renewal')?.textContent.includes('in silence'))
	await page.evaluate(() => {
		document.getElementById('app').textContent = 'app.example.com/'
	})
	await page.screenshot({ path: process.argv[2] })
} finally {
	for (const end of ends.reverse()) await end()
}

// The corpus of ../../testdata/open-redirects.txt in Chromium, as rd and as the fragment of
// the refresh path: where does the person really end up? What the plugin answers to each
// string by itself is tried beside it (../../redirects_test.go).
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { Agent, get } from 'node:http'
import { test } from 'node:test'
import { atEnd } from './common.js'
import { enter, Pwa } from './pwa.js'

const read = (path) => readFile(new URL(`../../${path}`, import.meta.url), 'utf8')

// A string is one of UTF-16, which need not be well formed, and a URL is.
const corpus = (await read('testdata/open-redirects.txt'))
	.split('\n')
	.filter((line) => line && !line.startsWith('#'))
	.map((line) => JSON.parse(line).toWellFormed())

// Plain paths, which have to be followed as they are.
const plain = [
	'/',
	'/budget',
	'/budget/?month=2026-11&all#table',
	"/a;b/c,d/e=f/g@h/i:j/k+l/m!n$o'p(q)r*s~t",
	'/?rd=//evil.example/&login#/_reauth',
	'/a?b=https://evil.example/%2F%5C#//evil.example',
	'/ä/日本語?ö=ü#ß',
	'/with blanks/ and?more of#them',
	'/"<>^`{|}?"<>^`{|}#"<>^`{|}',
	'/_reauth2',
	'/outpost.goauthentik.iox/start',
	`/${'a'.repeat(8191)}`,
]

const list = [...plain, ...corpus]

// How many strings there are to one that a tab really goes by.
const SHARE = 40

// readings are all that a server may take a path for that decodes it, once or more often.
const readings = (path) => {
	const found = [path]
	for (let i = 0; i < 4; i++) {
		try {
			found.push(decodeURIComponent(found.at(-1)))
		} catch {
			break
		}
	}
	// A parser strips blanks at the end, which no server does.
	return found.map((each) => new URL(`${each.replace(/[\\/]+/g, '/')}#`, 'http://any').pathname)
}
const isReserved = (path) => /^\/(_reauth|outpost\.goauthentik\.io)(\/|$)/.test(path)

// isOfApp tells whether a URL is of the app and of nobody else.
const isOfApp = (stand, url) => {
	const { origin, pathname } = new URL(url)
	return origin === stand.app && !readings(pathname).some(isReserved)
}

// answerAll resolves to where the plugin sends visits to paths, as it says it.
async function answerAll(t, stand, page, paths) {
	const { hostname, host, port } = new URL(stand.app)
	const cookies = await page.browser().cookies()
	const own = cookies.filter(({ domain }) => domain === hostname).map(({ name, value }) => `${name}=${value}`)
	const headers = { Host: host, Cookie: own.join('; '), 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document' }
	const agent = new Agent({ keepAlive: true, maxSockets: 8 })
	atEnd(t, () => agent.destroy())
	return Promise.all(
		paths.map(
			(path) =>
				new Promise((resolve, reject) => {
					get({ host: '127.0.0.1', port, path, headers, agent }, (response) => {
						response.resume()
						resolve(response.statusCode === 303 ? response.headers.location : undefined)
					}).on('error', reject)
				}),
		),
	)
}

// readAll resolves to what the browser makes of URLs that it finds at the refresh path, by its
// own parser.
const readAll = (page, urls) =>
	page.evaluate(
		(urls) =>
			urls.map((url) => {
				try {
					return new URL(url, `${location.origin}/_reauth`).href
				} catch {
					return null
				}
			}),
		urls,
	)

// visit resolves to where a visit in the tab ends.
async function visit(page, url) {
	await page.goto(url, { waitUntil: 'domcontentloaded' })
	assert.equal(await page.title(), 'PWA')
	return page.url()
}

async function followsNoReturn(t, stand, page, encode) {
	// A parser strips blanks at the end, which are the app's: the plugin encodes them.
	const whole = list.map((each) => each.replace(/ +$/, (blanks) => '%20'.repeat(blanks.length)))
	const meant = await readAll(page, whole)
	const urls = list.map((each) => `${stand.app}/_reauth?rd=${encode(each)}`)
	const asked = (await readAll(page, urls)).map((url) => url.slice(stand.app.length).split('#')[0])
	const sent = await answerAll(t, stand, page, asked)
	const ended = await readAll(page, sent)
	for (const [i, each] of list.entries()) {
		const what = `${JSON.stringify(each)} led to ${sent[i]}, which is ${ended[i]}`
		assert(sent[i] !== undefined && isOfApp(stand, ended[i]), what)
		// As it is a string may be more than one value, or another.
		if (encode !== encodeURIComponent) continue
		if (i < plain.length) assert.equal(ended[i], meant[i], what)
		else assert([`${stand.app}/`, meant[i]].includes(ended[i]), what)
	}
	for (let i = 0; i < urls.length; i += SHARE) {
		// Where the answer has no fragment the visit's own stays.
		const place = await visit(page, urls[i])
		assert.equal(ended[i].includes('#') ? place : place.split('#')[0], ended[i])
	}
}

// decideAll has the script of the page at the refresh path decide about fragments, where the
// browser's parser reads them, and resolves to where it would go.
const decideAll = (page, source, fragments) => {
	const decide = (script, fragments) => {
		const { dataset } = document.documentElement
		return Promise.all(
			fragments.map(
				(fragment) =>
					new Promise((replace) => {
						const { origin, hash } = new URL(`${location.origin}/_reauth#${fragment}`)
						script(
							{ referrer: '', documentElement: { dataset }, getElementById: () => ({}) },
							async () => ({ json: async () => ({ active: true }) }),
							{ origin, hash, search: '', replace },
							{ getItem: () => null, setItem: () => {} },
							() => {},
							{},
						)
					}),
			),
		)
	}
	const script = `function (document, fetch, location, sessionStorage, setTimeout, window) {${source}}`
	return page.evaluate(`(${decide})(${script}, ${JSON.stringify(fragments)})`)
}

// hasEnded tells whether the page goes nowhere else: it is no longer the one at the refresh
// path, or shows how things stand. One that has just begun has no element yet.
const hasEnded = () => {
	const { documentElement } = document
	return documentElement && (!documentElement.dataset.refresh || document.getElementById('renew') !== null)
}

async function followsNoFragment(stand, page) {
	const status = `${stand.app}/_reauth?status`
	await page.goto(status)
	// Alone, and as a URL that begins like one of the app's.
	const fragments = list.flatMap((each) => [each, stand.app + each])
	const decided = await decideAll(page, await read('browser/page.js'), fragments)
	const [meant, ended] = [await readAll(page, fragments), await readAll(page, decided)]
	for (const [i, each] of fragments.entries()) {
		const what = `${JSON.stringify(each)} led to ${ended[i]}`
		// The page that tells how things stand goes nowhere.
		assert(isOfApp(stand, ended[i]) || (ended[i] === status && each === status), what)
		// In a fragment other characters are encoded than in a path.
		if (each.startsWith(stand.app) && i < 2 * plain.length) assert.equal(decodeURI(ended[i]), decodeURI(meant[i]))
	}
	for (let i = 1; i < fragments.length; i += SHARE) {
		// What came before it is no page of the app's, so the fragment counts.
		await page.goto('about:blank')
		await page.goto(`${stand.app}/_reauth#${fragments[i]}`, { waitUntil: 'domcontentloaded' })
		await page.waitForFunction(hasEnded)
		assert.equal(page.url(), ended[i])
	}
}

test('open redirects', async (t) => {
	assert(corpus.length > 300)
	const app = await Pwa.start(t, {})
	const { stand, page } = await enter(t, app)
	await t.test('whatever rd says, a visit ends in the app, where the browser reads it to be if at all', () =>
		followsNoReturn(t, stand, page, encodeURIComponent),
	)
	await t.test('whatever rd says that is not encoded, a visit ends in the app', () =>
		followsNoReturn(t, stand, page, (each) => each),
	)
	await t.test('whatever the fragment says, the page at the refresh path leads into the app', () =>
		followsNoFragment(stand, page),
	)
})

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import test from 'node:test'
import vm from 'node:vm'

const source = await readFile(new URL('page.js', import.meta.url), 'utf8')
const ORIGIN = 'https://app.example.com'

// visit returns where the page goes to, when it is the entry of that index in
// the tab's history.
const visit = (navigation) => {
	const replaced = []
	const location = { href: `${ORIGIN}/_reauth`, replace: (url) => replaced.push(url) }
	vm.runInNewContext(source, { window: { navigation }, navigation, location, URL })
	assert.equal(replaced.length, 1)
	return replaced[0]
}

const history = (urls, index) => ({ entries: () => urls.map((url) => ({ url })), currentEntry: { index } })

const cases = [
	['the page before', history([`${ORIGIN}/budget`, `${ORIGIN}/_reauth`], 1), '/budget'],
	['query and hash', history([`${ORIGIN}/a?b=c&d=%2F#e/f?g`, `${ORIGIN}/_reauth`], 1), '/a?b=c&d=%2F#e/f?g'],
	['not ASCII', history([`${ORIGIN}/%C3%BC?q=%26#%E2%82%AC`, `${ORIGIN}/_reauth`], 1), '/%C3%BC?q=%26#%E2%82%AC'],
	['neither the first page nor the next', history(['/1', '/2', `${ORIGIN}/_reauth`, '/4'], 2), '/2'],
	['nothing before', history([`${ORIGIN}/_reauth`, '/next'], 0), '/'],
	['a page that hides its address', history([null, `${ORIGIN}/_reauth`], 1), '/'],
	['a browser without the Navigation API', undefined, '/'],
]

for (const [name, navigation, want] of cases) {
	test(`back to: ${name}`, () => {
		assert.equal(visit(navigation), `?rd=${encodeURIComponent(want)}`)
	})
}

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import test from 'node:test'
import vm from 'node:vm'

const source = await readFile(new URL('page.js', import.meta.url), 'utf8')
const ORIGIN = 'https://app.example.com'

// visit returns where the page goes to from a tab's history, with a referrer and
// with what the worker says in the fragment.
const visit = ({ navigation, referrer = '', hash = '' }) => {
	const replaced = []
	const location = { origin: ORIGIN, href: `${ORIGIN}/_reauth${hash}`, hash, replace: (url) => replaced.push(url) }
	vm.runInNewContext(source, { window: { navigation }, navigation, document: { referrer }, location, URL })
	assert.equal(replaced.length, 1)
	return replaced[0]
}

// entries is a history, in which the page is the entry of that index.
const entries = (urls, index) => ({
	navigation: { entries: () => urls.map((url) => ({ url })), currentEntry: { index } },
})

const self = `${ORIGIN}/_reauth`
const cases = [
	['the page before', entries([`${ORIGIN}/budget`, self], 1), '/budget'],
	['query and hash', entries([`${ORIGIN}/a?b=c&d=%2F#e/f?g`, self], 1), '/a?b=c&d=%2F#e/f?g'],
	['not ASCII', entries([`${ORIGIN}/%C3%BC?q=%26#%E2%82%AC`, self], 1), '/%C3%BC?q=%26#%E2%82%AC'],
	['neither the first page nor the next', entries([`${ORIGIN}/1`, `${ORIGIN}/2`, self, `${ORIGIN}/4`], 2), '/2'],
	[
		'the page before, whatever else is said',
		{ ...entries([`${ORIGIN}/1#a`, self], 1), referrer: `${ORIGIN}/2`, hash: `#${ORIGIN}/3` },
		'/1#a',
	],
	['nothing before', entries([self, `${ORIGIN}/next`], 0), '/'],
	['a page that hides its address', entries([null, self], 1), '/'],
	[
		'a page that hides its address, from where it was loaded',
		{ ...entries([null, self], 1), referrer: `${ORIGIN}/sw.js`, hash: `#${ORIGIN}/a?b#c` },
		'/a?b#c',
	],
	['nothing before, but a referrer', { ...entries([self], 0), referrer: `${ORIGIN}/opener` }, '/opener'],
	['no Navigation API: the referrer', { referrer: `${ORIGIN}/a?b=%2F`, hash: `#${ORIGIN}/loaded#c` }, '/a?b=%2F'],
	['no Navigation API: the tab has not moved', { referrer: `${ORIGIN}/a?b`, hash: `#${ORIGIN}/a?b#c#d` }, '/a?b#c#d'],
	['no Navigation API: no referrer', { hash: `#${ORIGIN}/a?b#c` }, '/a?b#c'],
	['no Navigation API: nothing is said', {}, '/'],
	['the referrer of another origin', { referrer: 'https://evil.example/a' }, '/'],
	['the referrer of another origin that looks alike', { referrer: `${ORIGIN}.evil.example/a` }, '/'],
	['a fragment of another origin', { hash: '#https://evil.example/a' }, '/'],
	['a fragment that is no URL', { hash: '#javascript:alert(1)' }, '/'],
	['a fragment that is a path', { hash: '#//evil.example/a' }, '/'],
]

for (const [name, tab, want] of cases) {
	test(`back to: ${name}`, () => {
		assert.equal(visit(tab), `?rd=${encodeURIComponent(want)}`)
	})
}

// The tables of docs/browsers.md are about what is tested, all of it.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { aside } from './aside.js'
import { ends } from './ends.js'
import { promises } from './promises.js'

const cellsOf = (row) =>
	row
		.split('|')
		.slice(1, -1)
		.map((cell) => cell.trim())

for (const [what, columns, tested] of [
	['with Actual', ['Chromium, 26.9.0', 'Chromium, 25.2.0', 'Firefox, 26.9.0', 'WebKit, 26.9.0'], promises],
	['with other apps', ['Chromium, apps', 'Firefox, apps', 'WebKit, apps'], { ...aside, ...ends }],
]) {
	test(`the page shows for every promise that every engine keeps it ${what}`, async () => {
		const page = await readFile(new URL('../../docs/browsers.md', import.meta.url), 'utf8')
		const header = `\n| promise | ${columns.join(' | ')} |\n`
		assert(page.includes(header), header)
		const [, ...rows] = /^(?:\|.*\n)+/.exec(page.split(header)[1])[0].trim().split('\n')
		const shown = rows.map(cellsOf)
		assert.deepEqual(
			shown.map(([promise]) => promise),
			Object.keys(tested),
		)
		for (const [promise, ...cells] of shown) {
			assert.equal(cells.length, columns.length, promise)
			for (const cell of cells) assert.match(cell, /^yes(, |$)/, promise)
		}
	})
}

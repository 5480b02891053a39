// The README's table of engines is about what is tested, all of it.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { promises } from './promises.js'

test('the README shows for every promise that every engine keeps it', async () => {
	const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8')
	const table = /\n\| promise \|(.*)\n\| --- .*\n((?:\|.*\n)+)/.exec(readme)
	const columns = table[1].split('|').map((cell) => cell.trim())
	assert.deepEqual(columns.slice(0, -1), ['Chromium, 26.9.0', 'Chromium, 25.2.0', 'Firefox, 26.9.0', 'WebKit, 26.9.0'])
	const rows = table[2].trim().split('\n')
	const shown = rows.map((row) =>
		row
			.split('|')
			.slice(1, -1)
			.map((cell) => cell.trim()),
	)
	assert.deepEqual(
		shown.map(([promise]) => promise),
		Object.keys(promises),
	)
	for (const [promise, ...cells] of shown) {
		assert.equal(cells.length, 4, promise)
		for (const cell of cells) assert.match(cell, /^yes(, |$)/, promise)
	}
})

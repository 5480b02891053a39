// A reporter for Node's test runner: prints which promise is kept in which
// engine, as the README shows it.

const named = /^(chromium|firefox|webkit), (\S+): (.*)$/
const engines = { chromium: 'Chromium', firefox: 'Firefox', webkit: 'WebKit' }

export default async function* table(events) {
	// The outcomes by promise and column, in the order of their first test.
	const outcomes = new Map()
	const columns = new Set()
	let last
	for await (const { type, data } of events) {
		if (type === 'test:pass' || type === 'test:fail') {
			const [, engine, client, promise] = named.exec(data.name) ?? []
			last = undefined
			if (!engine) continue
			if (!outcomes.has(promise)) outcomes.set(promise, new Map())
			last = { cells: outcomes.get(promise), column: `${engines[engine]}, ${client}` }
			columns.add(last.column)
			last.cells.set(last.column, type === 'test:pass' ? 'yes' : '**no**')
		}
		// What a test says comes right behind its outcome.
		if (type === 'test:diagnostic' && last && data.message.startsWith('note: ')) {
			last.cells.set(last.column, `${last.cells.get(last.column)}, ${data.message.slice('note: '.length)}`)
		}
	}
	if (columns.size === 0) return
	const row = (first, cells) => `| ${[first, ...cells].join(' | ')} |\n`
	yield `\n${row('promise', columns)}${row(
		'---',
		[...columns].map(() => '---'),
	)}`
	for (const [promise, cells] of outcomes) {
		yield row(
			promise,
			[...columns].map((column) => cells.get(column) ?? 'not run'),
		)
	}
}

// A reporter for Node's test runner: prints which promise is kept in which
// engine, with Actual, with other apps and behind other forward-auth servers, as
// docs/browsers.md and docs/providers.md show it.

const named = /^(chromium|firefox|webkit), (\S+)( behind \S+)?: (.*)$/
const engines = { chromium: 'Chromium', firefox: 'Firefox', webkit: 'WebKit' }

const row = (first, cells) => `| ${[first, ...cells].join(' | ')} |\n`

// draw returns a table of outcomes, which are by promise and column.
function draw({ columns, promises }) {
	let text = `\n${row('promise', columns)}${row(
		'---',
		[...columns].map(() => '---'),
	)}`
	for (const [promise, cells] of promises) {
		text += row(
			promise,
			[...columns].map((column) => cells.get(column) ?? 'not run'),
		)
	}
	return text
}

export default async function* table(events) {
	// In the order of their first test.
	const tables = new Map()
	let last
	for await (const { type, data } of events) {
		if (type === 'test:pass' || type === 'test:fail') {
			const [, engine, client, behind, promise] = named.exec(data.name) ?? []
			last = undefined
			if (!engine) continue
			const kind = behind ?? (client === 'apps' ? client : 'Actual')
			if (!tables.has(kind)) tables.set(kind, { columns: new Set(), promises: new Map() })
			const { columns, promises } = tables.get(kind)
			if (!promises.has(promise)) promises.set(promise, new Map())
			last = { cells: promises.get(promise), column: `${engines[engine]}, ${client}` }
			columns.add(last.column)
			last.cells.set(last.column, type === 'test:pass' ? 'yes' : '**no**')
		}
		// What a test says comes right behind its outcome.
		if (type === 'test:diagnostic' && last && data.message.startsWith('note: ')) {
			last.cells.set(last.column, `${last.cells.get(last.column)}, ${data.message.slice('note: '.length)}`)
		}
	}
	for (const each of tables.values()) yield draw(each)
}

// Node-RED, a real app. Its editor at / has no service worker, and the dashboard at
// /dashboard has one of its own.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { atEnd, until } from './common.js'

const script = fileURLToPath(new URL('../node_modules/node-red/red.js', import.meta.url))

// A test that is killed stops nothing, but its end of the pipe is closed.
const endWithInput = `data:text/javascript,process.stdin.on('end', () => process.exit()).resume()`

// What is in Node-RED: one page of the dashboard, which shows a text.
const flows = [
	{ id: 'tab', type: 'tab', label: 'Flow' },
	{ id: 'base', type: 'ui-base', name: 'Dashboard', path: '/dashboard', includeClientData: true },
	{
		id: 'theme',
		type: 'ui-theme',
		name: 'Theme',
		colors: {
			surface: '#ffffff',
			primary: '#0094ce',
			bgPage: '#eeeeee',
			groupBg: '#ffffff',
			groupOutline: '#cccccc',
		},
		sizes: { pagePadding: '12px', groupGap: '12px', groupBorderRadius: '4px', widgetGap: '12px' },
	},
	{ id: 'page', type: 'ui-page', name: 'Page', ui: 'base', path: '/page1', layout: 'grid', theme: 'theme', order: 1 },
	{ id: 'group', type: 'ui-group', name: 'Group', page: 'page', width: 6, height: 1, order: 1, showTitle: true },
	{
		id: 'text',
		type: 'ui-text',
		z: 'tab',
		group: 'group',
		order: 2,
		width: 0,
		height: 0,
		name: 'State',
		label: 'State',
		format: '{{msg.payload}}',
		layout: 'row-spread',
		x: 320,
		y: 120,
		wires: [],
	},
]

const settings = {
	uiHost: '127.0.0.1',
	uiPort: 0,
	flowFile: 'flows.json',
	credentialSecret: 'secret',
	lang: 'en-US',
	telemetry: { enabled: false, updateNotification: false },
	externalModules: { palette: { allowInstall: false }, modules: { allowInstall: false } },
	// A tour of what is new lies over the editor that a new profile opens.
	editorTheme: { tours: false, palette: { catalogues: [] } },
}

// startNodeRed starts a Node-RED that ends with the test t, and resolves to its URL,
// without a path.
export async function startNodeRed(t) {
	const folder = await mkdtemp(join(tmpdir(), 'reauth-node-red-'))
	await writeFile(join(folder, 'flows.json'), JSON.stringify(flows))
	await writeFile(join(folder, 'settings.json'), JSON.stringify(settings))
	const options = ['--userDir', '.', '--settings', 'settings.json']
	const child = spawn(process.execPath, ['--import', endWithInput, script, ...options], { cwd: folder })
	let output = ''
	for (const stream of [child.stdout, child.stderr]) {
		stream.setEncoding('utf8').on('data', (text) => {
			output += text
		})
	}
	const closed = once(child, 'close')
	atEnd(t, async () => {
		child.stdin.end()
		await closed
		await rm(folder, { recursive: true, force: true, maxRetries: 5 })
	})
	await until('the start of Node-RED', () => child.exitCode !== null || output.includes('Started flows'))
	const [, url] = output.match(/Server now running at (http:[^\s]+[^\s/])/) ?? []
	if (!url) throw new Error(`Node-RED has ended: ${output}`)
	return url
}

// Real apps from npm, each in a process and a folder of its own. None of them
// has a service worker at its root.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { until } from './common.js'

// A test that is killed stops nothing, but its end of the pipe is closed.
const endWithInput = `data:text/javascript,process.stdin.on('end', () => process.exit()).resume()`

// start starts a program of a package in a new folder with files, and resolves once
// each of the patterns is in what it prints. The first of them has the app's URL as
// its group.
async function start(program, args, files, patterns) {
	const folder = await mkdtemp(join(tmpdir(), 'reauth-app-'))
	for (const [path, content] of Object.entries(files)) {
		await mkdir(dirname(join(folder, path)), { recursive: true })
		await writeFile(join(folder, path), content)
	}
	const script = fileURLToPath(new URL(`../node_modules/${program}`, import.meta.url))
	const child = spawn(process.execPath, ['--import', endWithInput, script, ...args], { cwd: folder })
	let output = ''
	for (const stream of [child.stdout, child.stderr]) {
		stream.setEncoding('utf8').on('data', (text) => {
			output += text
		})
	}
	let running = true
	const closed = once(child, 'close').then(() => {
		running = false
	})
	const end = async () => {
		const early = !running
		child.stdin.end()
		await closed
		await rm(folder, { recursive: true, force: true, maxRetries: 5 })
		if (early) throw new Error(`${program} ended before it was told to: ${output}`)
	}
	let stopping
	const stop = () => {
		stopping ??= end()
		return stopping
	}
	try {
		await until(`the start of ${program}`, () => !running || patterns.every((pattern) => pattern.test(output)))
	} catch (error) {
		await stop()
		throw new Error(`${error.message}: ${output}`)
	}
	// Throws what the program has printed.
	if (!running) await stop()
	return { url: output.match(patterns[0])[1], stop }
}

// What is in Node-RED: one page of the dashboard, on which a button sets a text, and
// in the editor a node that sets the same text.
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
		id: 'button',
		type: 'ui-button',
		z: 'tab',
		group: 'group',
		order: 1,
		width: 0,
		height: 0,
		label: 'Press',
		emulateClick: false,
		payload: 'pressed',
		payloadType: 'str',
		x: 120,
		y: 80,
		wires: [['text']],
	},
	{
		id: 'inject',
		type: 'inject',
		z: 'tab',
		name: 'Inject',
		props: [{ p: 'payload' }],
		repeat: '',
		crontab: '',
		once: false,
		onceDelay: 0.1,
		topic: '',
		payload: 'injected',
		payloadType: 'str',
		x: 120,
		y: 160,
		wires: [['text']],
	},
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

const nodeRedSettings = {
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

// startNodeRed resolves to the URL of a Node-RED, without a path, and what stops it. The
// editor at / has no service worker. The dashboard at /dashboard has one of its own.
export const startNodeRed = () =>
	start(
		'node-red/red.js',
		['--userDir', '.', '--settings', 'settings.json'],
		{ 'flows.json': JSON.stringify(flows), 'settings.json': JSON.stringify(nodeRedSettings) },
		[/Server now running at (http:[^\s]+[^\s/])/, /Started flows/],
	)

const wiki = {
	plugins: ['tiddlywiki/tiddlyweb', 'tiddlywiki/filesystem'],
	themes: ['tiddlywiki/vanilla', 'tiddlywiki/snowwhite'],
}

// startTiddlyWiki resolves to the URL of a TiddlyWiki that asks its server for what is
// new once in so many milliseconds, and what stops it.
export const startTiddlyWiki = (polling = 1000) =>
	start(
		'tiddlywiki/tiddlywiki.js',
		['.', '--listen', 'host=127.0.0.1', 'port=0'],
		{
			'tiddlywiki.info': JSON.stringify(wiki),
			'tiddlers/polling.tid': `title: $:/config/SyncPollingInterval\n\n${polling}`,
			'tiddlers/start.tid': 'title: Start\n\nThe wiki has started.',
			'tiddlers/default.tid': 'title: $:/DefaultTiddlers\n\nStart',
		},
		[/Serving on (http:[^\s]+:\d+)/],
	)

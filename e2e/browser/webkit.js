// WebKit with a fresh profile, driven over WebDriver. A page of it is what the
// tests use of Puppeteer's Page, so that they read the same for every engine.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { Builder, By, Capabilities, error, Key } from 'selenium-webdriver'
import { atEnd, LIMIT, until } from './common.js'

// find resolves to the path of WebKit's own small browser, which Debian keeps in a
// folder of the machine's architecture.
async function find() {
	for (const folder of await readdir('/usr/lib')) {
		const path = `/usr/lib/${folder}/webkit2gtk-4.1/MiniBrowser`
		if (existsSync(path)) return path
	}
	throw new Error('WebKit has no MiniBrowser here: it comes with the package webkit2gtk-driver')
}

// startDisplay starts a screen that nobody sees and resolves to its name.
async function startDisplay(t) {
	const server = spawn('Xvfb', ['-displayfd', '1', '-screen', '0', '1280x800x24', '-nolisten', 'tcp'], {
		stdio: ['ignore', 'pipe', 'ignore'],
	})
	atEnd(t, () => stop(server))
	const [line] = await once(createInterface({ input: server.stdout }), 'line')
	return `:${line}`
}

async function stop(child) {
	const ended = once(child, 'exit')
	child.kill()
	await ended
}

async function freePort() {
	const server = createServer().listen(0, '127.0.0.1')
	await once(server, 'listening')
	const { port } = server.address()
	server.close()
	await once(server, 'close')
	return port
}

// launchWebKit starts a browser that ends with the test t, with a folder for what
// it keeps, and resolves to its page.
export async function launchWebKit(t, home) {
	const port = await freePort()
	const driver = spawn('WebKitWebDriver', [`--port=${port}`], {
		stdio: 'ignore',
		env: {
			...process.env,
			HOME: home,
			XDG_CACHE_HOME: home,
			XDG_CONFIG_HOME: home,
			XDG_DATA_HOME: home,
			DISPLAY: await startDisplay(t),
			// Without a language navigator.language is "c", which Actual stumbles over.
			LANG: 'en_US.UTF-8',
			LANGUAGE: 'en_US',
			// Actual refuses to start without SharedArrayBuffer.
			JSC_useSharedArrayBuffer: '1',
			...(process.getuid() === 0 ? { WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: '1' } : {}),
		},
	})
	atEnd(t, () => stop(driver))
	const url = `http://127.0.0.1:${port}`
	await until('the WebKit driver', () =>
		fetch(`${url}/status`).then(
			({ ok }) => ok,
			() => false,
		),
	)
	const session = await new Builder()
		.usingServer(url)
		.disableEnvironmentOverrides()
		.withCapabilities(
			new Capabilities({
				browserName: 'MiniBrowser',
				'webkitgtk:browserOptions': { binary: await find(), args: ['--automation'] },
			}),
		)
		.build()
	await session.manage().setTimeouts({ script: 2 * LIMIT, pageLoad: LIMIT })
	await session.manage().window().setRect({ width: 1280, height: 800 })
	const page = new WebKitPage(session)
	atEnd(t, () => page.browser().close())
	return page
}

// by returns how WebDriver says a selector of Puppeteer's.
function by(selector) {
	const xpath = /^::-p-xpath\((.*)\)$/s.exec(selector)
	return xpath ? By.xpath(xpath[1]) : By.css(selector)
}

const keys = { Enter: Key.ENTER, Tab: Key.TAB }

// passing tells whether an error is one of a page that changes meanwhile.
const passing = (failure) =>
	failure instanceof error.JavascriptError || // the page is left
	failure instanceof error.ScriptTimeoutError || // nobody is left to answer
	failure instanceof error.NoSuchFrameError || // the same, while it was asked
	failure instanceof error.StaleElementReferenceError ||
	failure instanceof error.ElementClickInterceptedError ||
	failure instanceof error.ElementNotInteractableError ||
	failure instanceof error.NoSuchElementError

// How long a question may take that is put again and again, in milliseconds.
const ANSWER_LIMIT = 10_000

// answered rejects where the driver does not answer, as when the page's process is
// replaced by another while it is asked: then nobody is left to answer, or to notice that
// it takes too long.
async function answered(question) {
	let timer
	const limit = new Promise((_, reject) => {
		timer = setTimeout(reject, ANSWER_LIMIT, new error.ScriptTimeoutError('the driver does not answer'))
	})
	try {
		return await Promise.race([question, limit])
	} finally {
		clearTimeout(timer)
	}
}

// fill runs in the page. Frameworks hide the value of an input behind their own.
function fill(input, text) {
	Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(input, text)
	input.dispatchEvent(new Event('input', { bubbles: true }))
	input.dispatchEvent(new Event('change', { bubbles: true }))
	input.focus()
}

class WebKitPage {
	// How long a script may take, in milliseconds: the driver runs one after the other.
	longest = 2000
	#session
	#closed

	constructor(session) {
		this.#session = session
	}

	browser() {
		return {
			close: () => {
				this.#closed ??= this.#session.quit()
				return this.#closed
			},
		}
	}

	async goto(url) {
		await this.#session.get(url)
	}

	async reload() {
		await this.#session.navigate().refresh()
	}

	async goBack() {
		await this.#session.navigate().back()
	}

	async evaluate(script, ...args) {
		const { value, failure } = await this.#session.executeAsyncScript(
			`const done = arguments[arguments.length - 1]
			const args = [...arguments].slice(0, -1)
			new Promise((resolve) => resolve((${script})(...args))).then(
				(value) => done({ value }),
				(failure) => done({ failure: String(failure) }),
			)`,
			...args,
		)
		if (failure) throw new Error(failure)
		return value
	}

	async waitForFunction(script, _options, ...args) {
		return until(String(script), () =>
			answered(this.evaluate(script, ...args)).catch((failure) => {
				if (passing(failure)) return false
				throw failure
			}),
		)
	}

	async $(selector) {
		const [element] = await this.#session.findElements(by(selector))
		return element ?? null
	}

	$eval(selector, script) {
		return this.#session.executeScript(`return (${script})(document.querySelector(arguments[0]))`, selector)
	}

	$$eval(selector, script) {
		return this.#session.executeScript(`return (${script})([...document.querySelectorAll(arguments[0])])`, selector)
	}

	// shown resolves to what the page shows, for whoever has to find out why a test failed.
	async #shown() {
		try {
			return await this.#session.executeScript('return location.href + ": " + document.body.innerText.slice(0, 500)')
		} catch (failure) {
			return String(failure)
		}
	}

	locator(selector) {
		const act = async (action) => {
			const tried = async () => {
				try {
					await action(await answered(this.#session.findElement(by(selector))))
					return true
				} catch (failure) {
					if (passing(failure)) return false
					throw failure
				}
			}
			try {
				await until(selector, tried)
			} catch (failure) {
				throw new Error(`${failure.message}, where the page shows ${await this.#shown()}`, { cause: failure })
			}
		}
		return {
			wait: () => act(() => {}),
			click: () => act((element) => element.click()),
			// At once, as Puppeteer does: a page that is starting may move the focus
			// while keys are pressed.
			fill: (text) => act((element) => this.#session.executeScript(fill, element, text)),
		}
	}

	keyboard = {
		press: (key) => this.#session.actions().sendKeys(keys[key]).perform(),
		type: (text) => this.#session.actions().sendKeys(text).perform(),
	}
}

// The stand of the Go side (../control), as the browser tests see it.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { atEnd } from './common.js'

const binary = fileURLToPath(new URL('../bin/control', import.meta.url))

export class Stand {
	#process
	#lines
	#errors = ''

	// start starts a stand with settings (see ../control) that ends with the
	// test t.
	static async start(t, settings) {
		const stand = new Stand()
		stand.#process = spawn(binary, { stdio: ['pipe', 'pipe', 'pipe'] })
		stand.#process.stderr.setEncoding('utf8').on('data', (text) => {
			stand.#errors += text
		})
		stand.#lines = createInterface({ input: stand.#process.stdout })[Symbol.asyncIterator]()
		atEnd(t, () => stand.#stop())
		Object.assign(stand, await stand.#command('start', settings))
		return stand
	}

	// One command is answered before the next is sent.
	#queue = Promise.resolve()

	#command(name, given) {
		const answer = this.#queue.then(async () => {
			this.#process.stdin.write(`${JSON.stringify({ Name: name, With: given })}\n`)
			const { value, done } = await this.#lines.next()
			if (done) throw new Error(`the stand has ended: ${this.#errors}`)
			const { error, result } = JSON.parse(value)
			if (error) throw new Error(error)
			return result
		})
		this.#queue = answer.catch(() => {})
		return answer
	}

	async #stop() {
		await this.#queue
		const ended = this.#process.exitCode === null && once(this.#process, 'exit')
		this.#process.stdin.end()
		await ended
		if (this.#process.exitCode !== 0) throw new Error(`the stand ended badly: ${this.#errors}`)
	}

	// configure changes settings and resolves once Traefik works with them.
	configure(changed) {
		return this.#command('configure', changed)
	}

	// expire ends sessions: proxy, sso or both. With a path it does so when a
	// request for that arrives, which is then the first to be refused.
	expire(session, at) {
		return this.#command('expire', { session, at })
	}

	// behave changes how the auth server acts.
	behave(behaviour) {
		return this.#command('behave', behaviour)
	}

	// hanging resolves to how many requests hang at the auth server, if it is to have them
	// hang.
	hanging() {
		return this.#command('hanging')
	}

	// kill ends Traefik with all that it has under way, and revive starts it anew.
	kill() {
		return this.#command('kill')
	}
	revive() {
		return this.#command('revive')
	}

	// logins resolves to how many times a password was accepted.
	logins() {
		return this.#command('logins')
	}

	// requests resolves to what Traefik has answered so far, but for a number of
	// requests that came first.
	requests(from = 0) {
		return this.#command('requests', { from })
	}
}

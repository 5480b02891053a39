// The script of the page that tells how things stand. It asks the plugin for the session
// and the worker for the rest, and shows nothing of the app's.
;(() => {
	const { refresh } = document.documentElement.dataset
	const home = location.origin + refresh.replace(/[^/]*$/, '')
	// How long a worker without the refresh script has to say nothing, and how long a
	// renewal may take, in milliseconds.
	const ANSWER_LIMIT = 2000
	const RENEWAL_LIMIT = 90_000

	const at = (id) => document.getElementById(id)
	const show = (id, text, mark = '') => {
		at(id).textContent = text
		at(id).className = mark
	}

	const UNITS = [
		['hour', 3600],
		['minute', 60],
		['second', 1],
	]
	const duration = (time) => {
		const seconds = Math.round(time / 1000)
		const [unit, size] = UNITS.find(([, size]) => seconds >= 2 * size) ?? UNITS[2]
		const count = Math.round(seconds / size)
		return `${count} ${unit}${count === 1 ? '' : 's'}`
	}
	const moment = (time) => `${new Date(time).toLocaleString()}, ${duration(Math.max(Date.now() - time, 0))} ago`

	// What kept a renewal from going in silence.
	const HINDRANCES = {
		provider: 'This provider cannot renew in silence: at the end of a session people log in again.',
		policy:
			'The last try did not get through: the auth server cannot be reached, or a policy is in the way, such as its Cross-Origin-Resource-Policy, the Content-Security-Policy of the app’s worker, or plain http.',
		login:
			'The last try met a login: the SSO session has ended, the login asks for consent, or the auth server is of another site than the app.',
	}

	// ask puts a question to a worker, and resolves to undefined where it says nothing.
	const ask = (worker, type, limit) =>
		new Promise((resolve) => {
			const { port1, port2 } = new MessageChannel()
			port1.onmessage = ({ data }) => resolve(data)
			setTimeout(resolve, limit)
			worker.postMessage({ type }, [port2])
		})

	const showSession = async () => {
		try {
			const response = await fetch(`${refresh}?probe`, { cache: 'no-store', redirect: 'manual' })
			const { active, expires_in: left } = await response.json()
			if (typeof active !== 'boolean') throw new TypeError('This is no probe.')
			if (!active) show('session', 'is not good', 'bad')
			else if (left === undefined) show('session', 'is good; its end is not known', 'good')
			else {
				const end = new Date(Date.now() + left * 1000).toLocaleTimeString()
				show('session', `is good until ${end}, for ${duration(left * 1000)}`, 'good')
			}
		} catch {
			show('session', 'cannot be told: the auth server does not answer, or somebody else answers here', 'bad')
		}
	}

	// find resolves to the worker in charge of the app, the one with the widest scope
	// where the app has one for a part of it alone.
	const find = async () => {
		const { serviceWorker } = navigator
		const there = await serviceWorker.getRegistration(home)
		const all = (await serviceWorker.getRegistrations()).filter(({ scope }) => scope.startsWith(home))
		const [registration] = there ? [there] : all.sort((a, b) => a.scope.length - b.scope.length)
		return registration && { worker: registration.active, scope: registration.scope }
	}

	const showWorker = (found, told) => {
		const where = found && found.scope !== home ? `, for ${new URL(found.scope).pathname}` : ''
		if (!found) show('worker', 'none: nothing renews the session of this app', 'bad')
		else if (!found.worker) show('worker', `one is being installed${where}`)
		else if (!told) show('worker', `the app’s own, without the refresh script${where}`, 'bad')
		else {
			const kind = told.recovering
				? 'the recovery script, in place of the app’s own'
				: told.own
					? 'the plugin’s own'
					: 'the app’s own, with the refresh script in front'
			show('worker', `${kind}, of ${told.version}${where}`, 'good')
		}
		at('renew').disabled = !told
		if (!told) {
			for (const id of ['renewal', 'trip', 'silence']) show(id, 'not known without the refresh script')
			return
		}
		const { renewed, trip, pause, silent, why } = told
		const how = renewed?.why ? 'by a login' : 'in silence'
		show('renewal', renewed ? `${moment(renewed.time)}, ${how}` : 'none yet')
		if (!trip) show('trip', 'no tab was sent there since the session was last good')
		else {
			const rest = pause > 0 ? `nobody is sent again for ${duration(pause)}` : 'the pause is over'
			show('trip', `a tab has gone there ${moment(trip.time)}; ${rest}`)
		}
		const reason = silent ? (why ?? renewed?.why) : 'provider'
		if (HINDRANCES[reason]) show('silence', HINDRANCES[reason], silent ? 'bad' : '')
		else
			show(
				'silence',
				renewed && !renewed.why ? 'sessions are renewed without anybody’s noticing' : 'nothing is known to hinder it',
				'good',
			)
	}

	const showAll = async () => {
		const [found] = await Promise.all([navigator.serviceWorker ? find() : undefined, showSession()])
		showWorker(found, found?.worker ? await ask(found.worker, 'REAUTH_STATUS', ANSWER_LIMIT) : undefined)
		return found
	}

	at('app').textContent = `${new URL(home).host}${new URL(home).pathname}`
	at('renew').onclick = async () => {
		at('renew').disabled = true
		show('done', 'A renewal is under way …')
		const found = await find()
		const told = found?.worker && (await ask(found.worker, 'REAUTH_RENEW', RENEWAL_LIMIT))
		await showAll()
		if (!told) show('done', 'The worker did not answer.')
		else show('done', told.good ? 'The session is good.' : 'It takes a login.')
	}
	at('login').onclick = () => {
		// The page at the refresh path comes back to here.
		try {
			sessionStorage.setItem(`reauth ${refresh}`, JSON.stringify({ place: location.href, time: Date.now() }))
		} catch {
			// Then the way ends at the home page.
		}
		location.href = `${refresh}?login`
	}
	if (navigator.serviceWorker) {
		new BroadcastChannel('reauth').onmessage = showAll
		navigator.serviceWorker.oncontrollerchange = showAll
	}
	showAll()
})()

// The script of the page at the refresh path: it keeps in the tab's own storage which
// page the tab came from, goes through the login, and from there back to it. So nothing
// of the app's URL leaves the browser, and an auth server that forgets where a login
// began does no harm. Where storage is closed the place travels along as rd, which the
// plugin checks.
//
// In place of a refused visit it first gives an app without a service worker the plugin's
// own. In a frame, where no login can be shown, it waits for one in another tab.
;(() => {
	const { refresh, auth, ...kind } = document.documentElement.dataset
	// Another app of the host has a place of its own.
	const KEY = `reauth ${refresh}`
	// The query of the script of the plugin's own worker.
	const OWN = '?reauth-worker'
	// How long a place counts that nobody has come back to, how long the way to the login
	// waits for the worker, within what time a tab that is here again goes in circles, and
	// how long a page may take to show, in milliseconds.
	const LIMIT = 60 * 60 * 1000
	const REGISTRATION_LIMIT = 3000
	const CIRCLE = 10_000
	const ARRIVAL_LIMIT = 5000
	// How many times a path is decoded in search of tricks.
	const MOST_DECODINGS = 4
	const root = `${location.origin}/`
	// The app may be one of several on the host, each under a path of its own.
	const home = location.origin + refresh.replace(/[^/]*$/, '')

	// isOurs tells whether a URL is a page of the app's. What lies at the paths of the login is
	// none, as a server reads them, which decodes, perhaps once too often, and may take several
	// slashes for one.
	const reserved = auth ? [refresh, ...auth.split(' ')] : [refresh]
	const decode = (path, times = MOST_DECODINGS) => {
		try {
			return times > 0 ? decode(decodeURIComponent(path), times - 1) : path
		} catch {
			return path
		}
	}
	const isOurs = (url) => {
		if (!url?.startsWith(root)) return false
		const read = decode(new URL(url).pathname).replace(/[\\/]+/g, '/')
		const path = `${new URL(read, root).pathname}/`
		return url === `${location.origin}${refresh}?status` || !reserved.some((each) => path.startsWith(`${each}/`))
	}

	// recall returns the place that the tab left for the login, if there is one.
	const recall = () => {
		try {
			const { place, time } = JSON.parse(sessionStorage.getItem(KEY))
			return isOurs(place) && Math.abs(Date.now() - time) < LIMIT ? place : undefined
		} catch {
			return undefined
		}
	}
	const remember = (place) => {
		try {
			sessionStorage.setItem(KEY, JSON.stringify({ place, time: Date.now() }))
		} catch {
			// Storage is closed or full.
		}
	}

	// find returns the page that the tab came from.
	const find = () => {
		// What the worker says, that is where the tab was when it was loaded.
		const loaded = location.hash.slice(1)
		const entry = window.navigation?.entries()[navigation.currentEntry.index - 1]
		// WebKitGTK 2.50 has no Navigation API. The referrer tells where the tab
		// was, all but the fragment, unless the app keeps it to itself. Of a tab that
		// the worker sent Chromium then says that it came from the worker's script.
		const hasNotMoved = loaded.split('#')[0] === document.referrer
		// Browsers cut a referrer down to its origin where it would be longer.
		const isCut = document.referrer === root && loaded.length > 4096
		return [entry ? entry.url : hasNotMoved || isCut ? loaded : document.referrer, loaded].find(isOurs) ?? home
	}

	// How the page was come to: by a reload, by the tab's history, or by anything else.
	const type = performance.getEntriesByType('navigation')[0]?.type ?? 'navigate'

	const show = (id, shown) => {
		document.getElementById(id).hidden = !shown
	}

	const ask = () =>
		fetch(`${refresh}?probe`, { cache: 'no-store', redirect: 'manual' })
			.then((response) => response.json())
			.then(
				({ active }) => active === true,
				() => false,
			)

	// logIn goes to the login, from where the tab comes back to place.
	const logIn = (place) => {
		if (recall() === place) {
			location.replace(`${refresh}?login`)
		} else {
			const { pathname, search, hash } = new URL(place)
			location.replace(`${refresh}?rd=${encodeURIComponent(pathname + search + hash)}`)
		}
	}

	// register gives the app the plugin's own worker, unless it has one there. Another one
	// of the plugin's is that of another app, or of a refresh path that was given up.
	const register = async () => {
		const { serviceWorker } = navigator
		for (const url of [location.href, home]) {
			const found = await serviceWorker.getRegistration(url)
			const worker = found && (found.installing ?? found.waiting ?? found.active)
			if (worker && new URL(worker.scriptURL).search !== OWN) return
		}
		await serviceWorker.register(refresh + OWN, { scope: home })
	}

	// isCircling tells whether the tab has left for the login just now. Where storage is
	// closed nobody would know.
	const isCircling = () => {
		const key = `${KEY} went`
		try {
			if (Math.abs(Date.now() - sessionStorage.getItem(key)) < CIRCLE) return true
			sessionStorage.setItem(key, Date.now())
			return false
		} catch {
			return true
		}
	}

	// takeTheirWay goes to the login as the auth server has said, unless that would not end.
	const takeTheirWay = async () => {
		if (isCircling()) {
			show('going', false)
			return
		}
		try {
			// The worker makes no renewal beside a login. It knows the key, whatever the
			// refresh path is.
			const cache = await caches.open('reauth')
			await cache.put('/_reauth?went', new Response(JSON.stringify({ time: Date.now() })))
		} catch {
			// Then it knows less.
		}
		location.replace(document.getElementById('login').href)
	}

	const visit = async () => {
		const limit = new Promise((resolve) => setTimeout(resolve, REGISTRATION_LIMIT))
		// Without service workers, or where they are closed, all else is as ever.
		await Promise.race([register().catch(() => {}), limit])
		// A page that takes more than a good session can be had by no other way. Nor does
		// who comes from elsewhere choose a place.
		if ('elsewhere' in kind || (await ask())) {
			await takeTheirWay()
		} else {
			remember(location.href)
			logIn(location.href)
		}
	}

	// wait offers a login in another tab, and goes on once there was one.
	const wait = (place) => {
		remember(place)
		document.getElementById('login').href = `${refresh}#${place}`
		// Who goes back from the login does not want to go there again.
		try {
			if (type !== 'back_forward') {
				top.location.href = `${refresh}#${top.location.href}`
				return
			}
		} catch {
			// The page around the frame is of another origin.
		}
		const check = async () => (await ask()) && location.replace(place)
		new BroadcastChannel('reauth').onmessage = check
		addEventListener('focus', check)
		document.addEventListener('visibilitychange', check)
	}

	if ('visit' in kind) {
		visit()
		return
	}
	// Whoever sends a browser here from another origin chooses the fragment and the
	// entry before, and may be the auth server after a login. When the entry is shown anew
	// nobody tells who has made it.
	const isBack = 'elsewhere' in kind || location.search !== '' || type !== 'navigate'
	const begins = !isBack && (location.hash !== '' || !recall())
	const place = begins ? find() : recall()

	if ('framed' in kind) {
		wait(place ?? home)
		return
	}
	if (begins) remember(place)
	ask().then((isActive) => {
		if (isActive) {
			remember()
			location.replace(place ?? `${refresh}?rd=`)
			// What is saved as a file shows no page.
			setTimeout(() => {
				show('going', false)
				show('in', true)
			}, ARRIVAL_LIMIT)
		} else if (begins) {
			logIn(place)
		} else {
			// Another trip at once would not end.
			show('going', false)
			show('back', place !== undefined)
			show('home', place === undefined)
			document.getElementById('login').href = `${refresh}?login`
		}
	})
})()

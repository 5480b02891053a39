// The script of the page at the refresh path: it keeps in the tab's own storage which
// page the tab came from, goes through the login, and from there back to it. So nothing
// of the app's URL leaves the browser, and an auth server that forgets where a login
// began does no harm. Where storage is closed the place travels along as rd, which the
// plugin checks.
;(() => {
	// Another app of the host has a place of its own.
	const KEY = `reauth ${location.pathname}`
	// How long a place counts that nobody has come back to, in milliseconds.
	const LIMIT = 60 * 60 * 1000
	const root = `${location.origin}/`
	// The app may be one of several on the host, each under a path of its own.
	const home = location.origin + location.pathname.replace(/[^/]*$/, '')

	const isOurs = (url) => url?.startsWith(root) && new URL(url).pathname !== location.pathname

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

	const show = (id, shown) => {
		document.getElementById(id).hidden = !shown
	}

	// Whoever sends a browser here from another origin chooses the fragment and the
	// entry before, and may be the auth server after a login.
	const isBack = 'elsewhere' in document.documentElement.dataset || location.search !== ''
	const begins = !isBack && (location.hash !== '' || !recall())
	const place = begins ? find() : recall()

	const goOn = (isActive) => {
		if (isActive) {
			remember()
			location.replace(place ?? '?rd=')
		} else if (!begins) {
			// Another trip at once would not end.
			show('going', false)
			show('back', place !== undefined)
			show('home', place === undefined)
			document.getElementById('login').href = '?login'
		} else if (recall() === place) {
			location.replace('?login')
		} else {
			const { pathname, search, hash } = new URL(place)
			location.replace(`?rd=${encodeURIComponent(pathname + search + hash)}`)
		}
	}

	if (begins) remember(place)
	fetch('?probe', { cache: 'no-store', redirect: 'manual' })
		.then((response) => response.json())
		.then(
			({ active }) => goOn(active === true),
			() => goOn(false),
		)
})()

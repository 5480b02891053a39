// Actual Budget, as a person uses it.
import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import { until, untilAsked } from './common.js'
import { atLogin, launch } from './engines.js'

// The clients that are tested: the current one and one that many still have.
export const clients = ['26.9.0', '25.2.0']

const button = (...labels) =>
	`::-p-xpath(//button[${labels.map((label) => `normalize-space()="${label}"`).join(' or ')}])`
const label = (text) => `::-p-xpath(//*[normalize-space(text())="${text}"])`
const inNew = (cell) => `[data-testid="new-transaction"] [data-testid="${cell}"]`

// logIn fills in the login page of the auth server.
export async function logIn(page, stand) {
	await page.locator('[name=username]').fill(stand.username)
	await page.locator('[name=password]').fill(stand.password)
	await page.locator('button').click()
}

const isSignIn = ({ RequestPath, DownstreamStatus }) => RequestPath === '/account/login' && DownstreamStatus === 200

// signIn opens Actual in a new profile, through both of its logins.
async function signIn(page, stand, consent) {
	await page.goto(stand.app)
	await logIn(page, stand)
	await consent?.(page)
	// While Actual starts it shows the field anew, without what was typed.
	const field = 'input[type=password]'
	const signedIn = async () => (await stand.requests()).filter(isSignIn).length
	const before = await signedIn()
	// The login of the auth server has such a field, too.
	await page.waitForFunction(
		(app, field) => location.origin === app && document.querySelector(field),
		{},
		stand.app,
		field,
	)
	await untilAsked(
		'the sign-in',
		async () => (await signedIn()) > before,
		async () => {
			if (!(await page.evaluate((field) => document.querySelector(field) !== null, field))) return
			await page.locator(field).fill(stand.actualPassword)
			await page.keyboard.press('Enter')
		},
	)
}

// atAccount resolves once the account's page shows what is in it. A payment that
// is begun before Actual has loaded the account cannot be added.
export const atAccount = (page) =>
	page.locator('::-p-xpath(//*[@data-testid="transaction-table"]//*[text()="Starting Balance"])').wait()

// logInAndBack takes a page through the login and back to the account.
export async function logInAndBack(page, stand) {
	await atLogin(page)
	await logIn(page, stand)
	await atAccount(page)
}

// open starts a browser and makes a budget with one account in it, whose page
// it shows.
export async function open(t, stand, engine) {
	const page = await launch(t, engine, stand.keyHash)
	await signIn(page, stand)
	await page.locator(button('Start budgeting', 'Start fresh')).click()
	// A new budget is loaded a second time once the server has it, which takes
	// dialogs away. It syncs when that is done.
	await until('the first sync', async () => (await syncs(stand, 200)) > 0)
	await page.locator(label('Add account')).click()
	await page.locator(button('Create a local account', 'Create local account')).click()
	await page.locator('input[name=name]').fill('Bank')
	await page.locator('input[name=balance]').fill('1000')
	await page.locator(button('Create')).click()
	await atAccount(page)
	await saved(page, stand)
	return page
}

// typeInto types into a cell of a table, which becomes an input when clicked. While
// Actual draws the table anew a click may be lost.
async function typeInto(page, cell, text) {
	await untilAsked(
		`an input in ${cell}`,
		() => page.evaluate((cell) => document.activeElement === document.querySelector(`${cell} input`), cell),
		() => page.locator(cell).click(),
	)
	await page.keyboard.type(text)
}

// fillIn types into a cell and leaves it. What was typed counts once Actual has
// asked its own worker for rules about it, which answers in order.
async function fillIn(page, cell, text) {
	await typeInto(page, cell, text)
	await page.keyboard.press('Tab')
	await page.waitForFunction((cell, text) => document.querySelector(cell)?.innerText.trim() === text, {}, cell, text)
	await page.evaluate(() => window.$send('rules-get'))
}

// typeTransaction types a payment into the account's page without adding it.
export async function typeTransaction(page, notes, amount) {
	if (!(await page.$('[data-testid="new-transaction"]'))) await page.locator(button('Add New', 'Add new')).click()
	await fillIn(page, inNew('notes'), notes)
	await fillIn(page, inNew('debit'), amount)
}

// showsPayment resolves once the account's page shows a payment with these notes.
export const showsPayment = (page, notes) => page.locator(payment(notes)).wait()
const payment = (notes) => `::-p-xpath(//*[@data-testid="transaction-table"]//*[text()="${notes}"])`

// typedNotes resolves to the notes of the payment that was typed.
export const typedNotes = (page) => page.$eval(inNew('notes'), (cell) => cell.innerText.trim())

// submitTransaction adds the payment that was typed. While Actual draws the table anew the
// click may be lost, and then what was typed is still there.
export async function submitTransaction(page, notes) {
	let clicks = 0
	await untilAsked(
		`the payment ${notes}`,
		async () => clicks > 0 && Boolean(await page.$(payment(notes))),
		async () => {
			if (clicks > 0 && (await typedNotes(page)) !== notes) return
			await page.locator(inNew('add-button')).click()
			clicks++
		},
	)
}

// addTransaction adds a payment on the account's page. The notes are one word:
// Actual shows each by itself.
export async function addTransaction(page, notes, amount) {
	await typeTransaction(page, notes, amount)
	await submitTransaction(page, notes)
}

// fill makes the budget larger by a number of bytes that do not compress, by way
// of Actual's console.
export const fill = (page, size) =>
	page.evaluate(
		async (account, size) => {
			const each = 8192
			const added = Array.from({ length: size / each }, () => {
				const random = crypto.getRandomValues(new Uint8Array(each))
				return {
					account,
					amount: 0,
					date: '2020-01-01',
					notes: String.fromCharCode(...random.map((byte) => 33 + (byte % 90))),
				}
			})
			await window.$send('transactions-batch-update', { added })
		},
		page.url().split('/').at(-1),
		size,
	)

// showBudget goes to the budget by the sidebar, as a person does.
export async function showBudget(page) {
	await page.locator(label('Budget')).click()
	await page.locator('[data-testid="budget-table"]').wait()
}

// showAccount goes to the account by the sidebar.
export async function showAccount(page) {
	await page.locator(label('Bank')).click()
	await atAccount(page)
}

const firstBudget = '[data-testid="budget-table"] [data-testid="row"] [data-testid="budget"]'
const firstAmount = (page) => page.evaluate((cell) => document.querySelector(cell)?.innerText.trim(), firstBudget)

// setBudget changes the first amount of the budget. What was begun while Actual drew
// the budget anew is lost, and typed again.
export async function setBudget(page, amount) {
	await untilAsked(
		`the amount ${amount}`,
		async () => (await firstAmount(page)) === amount,
		async () => {
			await typeInto(page, firstBudget, amount)
			await page.keyboard.press('Enter')
		},
	)
}

// sync asks Actual to sync, as its button does. What comes of it shows at the
// server.
export const sync = (page) =>
	page.evaluate(() => {
		window.__actionsForMenu.sync()
	})

export const isSync = (request) => request.RequestMethod === 'POST' && request.RequestPath === '/sync/sync'

// offersUpdate tells whether Actual says that a new version is there.
export const offersUpdate = async (page) =>
	Boolean(await page.$('::-p-xpath(//*[contains(text(), "A new version of Actual is available")])'))

// syncs resolves to how many syncs have ended with a status.
export const syncs = async (stand, status) =>
	(await stand.requests()).filter((request) => isSync(request) && request.DownstreamStatus === status).length

// syncUntil syncs until one more has ended with a status than now, or than are given. It asks
// again now and then: while Actual syncs it drops such a wish.
export async function syncUntil(page, stand, status, given) {
	const before = given ?? (await syncs(stand, status))
	await untilAsked(
		`a sync with ${status} after ${before}`,
		async () => (await syncs(stand, status)) > before,
		() => sync(page),
	)
}

// saved resolves once the server has taken what there was. Who asks while a sync is under way
// gets that one, which may have left without the last edit: the next one has not.
export async function saved(page, stand) {
	const before = await syncs(stand, 200)
	const syncsTwice = () =>
		page.evaluate(async () => {
			for (let i = 0; i < 2; i++) if ((await window.$send('sync'))?.error) return false
			return true
		})
	await until('two syncs', syncsTwice)
	await until('a sync at the server', async () => (await syncs(stand, 200)) > before)
}

// syncInVain resolves once a sync has failed, whether or not it has reached the server.
export const syncInVain = (page) =>
	until('a sync in vain', () => page.evaluate(async () => Boolean((await window.$send('sync'))?.error)))

// expireAtSync ends sessions with Actual's next sync and resolves once that was
// refused. Sessions that end at once may be renewed by some other request first.
export async function expireAtSync(page, stand, session) {
	const before = await syncs(stand, 401)
	await stand.expire(session, '/sync/sync')
	await syncUntil(page, stand, 401, before)
}

// openAnew opens the budget in a browser of its own, which has it from the server,
// and resolves to the page. Where the auth server asks for consent, consent gives it.
export async function openAnew(t, stand, { engine, consent } = {}) {
	// Actual serves 500 requests a minute, and two first loads are more. A server
	// that has just started has not counted any.
	await stand.configure({ AppDown: true })
	await stand.configure({ AppDown: false })
	const page = await launch(t, engine, stand.keyHash)
	await signIn(page, stand, consent)
	await page.locator(label('My Finances')).click()
	await page.locator('[data-testid="budget-table"]').wait()
	return page
}

// comesTo asserts that what read resolves to becomes what is expected: Actual shows
// what it has before it shows what it gets, and gets what another browser has still to
// send with a later sync.
async function comesTo(page, read, expected) {
	let actual
	const check = async () => {
		actual = await read()
		return isDeepStrictEqual(actual, expected)
	}
	await untilAsked('what is expected', check, () => sync(page)).catch(() => assert.deepEqual(actual, expected))
}

const byNotes = (a, b) => (a.notes < b.notes ? -1 : 1)

// payments resolves to the notes and the amount, in cents, of each payment that has
// notes, sorted by these. The account's page shows only those that fit on it.
export const payments = async (page) => {
	const found = await page.evaluate(async () => {
		const { data } = await window.$query(window.$q('transactions').select(['notes', 'amount']))
		return data.map(({ notes, amount }) => ({ notes, amount }))
	})
	return found.filter(({ notes }) => notes).sort(byNotes)
}

// readsPaymentsBack asserts which payments another browser gets from the server.
export async function readsPaymentsBack(t, stand, expected) {
	const page = await openAnew(t, stand)
	await comesTo(page, () => payments(page), expected.toSorted(byNotes))
	await page.browser().close()
}

// readsBack asserts what another browser gets from the server: the notes of the
// payments, sorted, and the first amount of the budget, if that is given.
export async function readsBack(t, stand, { budget, notes }, options) {
	const page = await openAnew(t, stand, options)
	if (budget) {
		await comesTo(page, () => firstAmount(page), budget)
	}
	await showAccount(page)
	await comesTo(
		page,
		() =>
			page.$$eval('[data-testid="transaction-table"] [data-testid="notes"]', (cells) =>
				cells
					.map((cell) => cell.innerText.trim())
					.filter(Boolean)
					.sort(),
			),
		notes,
	)
	await page.browser().close()
}

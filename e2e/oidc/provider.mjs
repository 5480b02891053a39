// A real OpenID provider with an SSO session, for the programs of a test. It has one
// user and one client, which needs no consent. Run with the issuer's URL and the
// client's redirect URIs; it listens on loopback, prints where, and ends with its
// standard input. On the line "end sessions" it forgets who is logged in. It prints a
// line each time that a password is accepted.
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { createInterface } from 'node:readline'
import { Provider } from 'oidc-provider'

const user = { username: 'demo', password: 'demo' }
const [issuer, ...redirectURIs] = process.argv.slice(2)

// What the provider keeps, by model and id. Nothing here lives long enough to expire.
const records = new Map()

class Adapter {
	constructor(model) {
		this.model = model
	}

	key(id) {
		return `${this.model} ${id}`
	}

	async upsert(id, payload) {
		records.set(this.key(id), payload)
	}

	async find(id) {
		return records.get(this.key(id))
	}

	async findByUid(uid) {
		for (const [key, payload] of records) {
			if (key.startsWith(`${this.model} `) && payload.uid === uid) return payload
		}
	}

	async consume(id) {
		const payload = await this.find(id)
		if (payload) payload.consumed = Math.floor(Date.now() / 1000)
	}

	async destroy(id) {
		records.delete(this.key(id))
	}

	async revokeByGrantId(grantId) {
		for (const [key, payload] of records) {
			if (key.startsWith(`${this.model} `) && payload.grantId === grantId) records.delete(key)
		}
	}
}

const provider = new Provider(issuer, {
	adapter: Adapter,
	claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['preferred_username'] },
	// oauth2-proxy reads the claims where they come first.
	conformIdTokenClaims: false,
	clients: [
		{
			client_id: 'oauth2-proxy',
			client_secret: 'oauth2-proxy',
			grant_types: ['authorization_code', 'refresh_token'],
			redirect_uris: redirectURIs,
		},
	],
	cookies: { keys: [randomBytes(16).toString('hex')] },
	jwks: { keys: [generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' })] },
	features: { devInteractions: { enabled: false } },
	interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
	ttl: { Session: 86400, Grant: 86400, Interaction: 3600 },
	async findAccount(_, id) {
		return {
			accountId: id,
			claims: async () => ({
				sub: id,
				email: `${id}@example.com`,
				email_verified: true,
				preferred_username: id,
			}),
		}
	},
	// Without the page on which a user allows it.
	issueRefreshToken: async () => true,
	async loadExistingGrant({ oidc }) {
		const grant = new provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId })
		grant.addOIDCScope('openid email profile')
		await grant.save()
		return grant
	},
})
provider.proxy = true

const form = `<!doctype html>
<title>Log in</title>
<form method="post">
<input name="username" autocomplete="username" required>
<input name="password" type="password" required>
<button>Log in</button>
</form>
`

async function interact(req, res) {
	await provider.interactionDetails(req, res)
	if (req.method === 'POST') {
		let body = ''
		for await (const chunk of req) body += chunk
		const sent = new URLSearchParams(body)
		if (sent.get('username') === user.username && sent.get('password') === user.password) {
			console.log('logged in')
			await provider.interactionFinished(req, res, { login: { accountId: user.username } })
			return
		}
	}
	res.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8', 'Cache-Control': 'no-store' }).end(form)
}

const callback = provider.callback()
const server = createServer((req, res) => {
	if (!req.url.startsWith('/interaction/')) {
		callback(req, res)
		return
	}
	interact(req, res).catch((error) => {
		console.error(error)
		res.writeHead(400).end('the login is unknown\n')
	})
})

function end() {
	process.exit()
}

process.on('SIGTERM', end)
createInterface({ input: process.stdin })
	.on('close', end)
	.on('line', (line) => {
		if (line !== 'end sessions') return
		for (const key of records.keys()) {
			if (key.startsWith('Session ')) records.delete(key)
		}
		console.log('sessions ended')
	})

server.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`))

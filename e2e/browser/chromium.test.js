import { clients } from './actual.js'
import { hold } from './promises.js'

for (const client of clients) hold('chromium', client)

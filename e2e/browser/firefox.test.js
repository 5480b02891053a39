import { clients } from './actual.js'
import { hold } from './promises.js'

hold('firefox', clients[0])

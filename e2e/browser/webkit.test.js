import { clients } from './actual.js'
import { hold } from './promises.js'

hold('webkit', clients[0])

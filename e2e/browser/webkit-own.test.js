import { own } from './own.js'

own('webkit')

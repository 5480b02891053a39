import { standAside } from './aside.js'
import { meetEnds } from './ends.js'

standAside('webkit')
meetEnds('webkit')

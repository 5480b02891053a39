// A reporter that says nothing and ends the run with the first test that fails: the mutant
// is dead then.
import { Transform } from 'node:stream'

export default new Transform({
	writableObjectMode: true,
	transform({ type }, _, done) {
		if (type === 'test:fail') process.exit(1)
		done()
	},
})

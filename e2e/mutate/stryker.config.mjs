// Mutates one of the scripts in browser/, the one that SCRIPT names, and runs its unit
// tests with each mutant.
const script = process.env.SCRIPT

export default {
	mutate: [`browser/${script}.js`],
	testRunner: 'command',
	commandRunner: {
		command: `node --import ./e2e/mutate/contexts.mjs --test-reporter ./e2e/mutate/first.mjs --test-reporter-destination stdout browser/${script}.test.mjs`,
	},
	// A machine that is busy kills no mutant.
	timeoutMS: 30_000,
	coverageAnalysis: 'off',
	concurrency: 2,
	ignorePatterns: ['**', '!browser/**', '!e2e/mutate/**'],
	tempDirName: 'e2e/bin/stryker',
	reporters: ['progress', 'clear-text'],
	clearTextReporter: { allowColor: false, allowEmojis: false, logTests: false, reportTests: false },
}

"""Words that the tweets' pipeline drops, and words that it does not stem."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words that every author needs: articles, pronouns, auxiliaries, punctuation. The rest
# tells what somebody talks about.
STOP_WORDS = _words("""
    a about above after again against all also am an and any are aren't as at be because been before being below
    between both but by can can't cannot could couldn't did didn't do does doesn't doing don't down during each
    either else ever every few for from further had hadn't has hasn't have haven't having he he'd he'll he's her
    here here's hers herself him himself his how how's i i'd i'll i'm i've if in into is isn't it it'd it'll
    it's its itself just let's many may me might more most much must mustn't my myself neither no nor not now of
    off on once one only onto or other our ours ourselves out over own same shall shan't she she'd she'll she's
    should shouldn't so some such than that that'll that's the their theirs them themselves then there there's
    these they they'd they'll they're they've this those though through till to too toward towards under until
    up upon us very was wasn't we we'd we'll we're we've were weren't what what's when when's where where's
    whether which while who who'll who's whoever whom whose why why's will with within without won't would
    wouldn't yet you you'd you'll you're you've your yours yourself yourselves
    . , ; : ! ? ' " - – — ( ) [ ] / & * … .. ... “ ” ‘ ’ ´ `
""")

# Personal names keep their form: stemming would merge Marie with Maria, and Charles
# with Charlie.
NAMES = _words("""
    Aaron Abdul Abigail Adam Ada Agnes Ahmed Aisha Alan Albert Alejandro Alex Alexander Alexandra Alfred Ali
    Alice Amelia Amina Amy Ana Anders André Andrea Andrew Angela Anita Anke Anna Anne Annie Anthony Antonio Anya
    Arjun Arthur Astrid Audrey Barbara Beatrice Ben Benjamin Bernard Bert Beth Betty Bill Björn Bob Boris Brian
    Bridget Bruce Camille Carl Carla Carlos Carmen Carol Caroline Catherine Cecilia Charles Charlie Charlotte
    Chen Chloe Chris Christian Christina Clara Clare Claude Claudia Colin Connor Craig Cynthia Daisy Daniel
    Daniela David Deborah Dennis Diana Diego Dmitri Dolores Donald Doris Dorothy Douglas Duncan Edgar Edith Edna
    Eduardo Edward Eileen Elena Eleanor Eli Elias Elisabeth Elizabeth Ella Ellen Elsa Elsie Emily Emma Eric Erik
    Ernest Esther Ethan Eva Evelyn Fatima Felix Fernando Fiona Florence Frances Francesca Francis Frank François
    Fred Frederick Frida Gabriel Gareth Gary Gavin Geoffrey George Gerald Giovanni Gloria Gordon Graham Greta
    Gustav Hannah Hans Harold Harriet Harry Hassan Heather Heidi Helen Helena Henrik Henry Herbert Hilary
    Hillary Hiroshi Hugh Hugo Ian Ibrahim Ines Ingrid Irene Iris Isaac Isabel Isabella Ivan Jack Jacob James
    Jamie Jan Jane Janet Jason Javier Jean Jennifer Jeremy Jesse Jessica Jim Joan Joanna João Joe Johan Johannes
    John Johnny Jonas Jonathan Jordan Jorge José Joseph Josephine Joshua Joyce Juan Judith Jules Julia Julian
    Julie Juliet Justin Karen Karim Karl Katarina Kate Katherine Kathleen Katie Keith Kelly Kenji Kenneth Kevin
    Kim Klaus Kumar Kurt Lars Laura Lauren Laurence Lea Leah Lena Leo Leon Leonard Lewis Liam Lily Linda Lisa
    Lois Lorenzo Louis Louise Luca Lucas Lucia Lucy Luis Luke Lydia Magnus Malcolm Manuel Marco Marcus Margaret
    Maria Marian Marie Marina Mario Marion Marjorie Mark Marta Martha Martin Mary Mateo Matilda Matteo Matthew
    Maureen Maurice Max Maya Mehmet Mei Melissa Michael Michelle Miguel Mike Mila Miriam Mohammed Molly Monica
    Morgan Moses Nadia Nancy Naomi Natalie Natasha Neil Nelson Niamh Nicholas Nicola Nicole Nigel Nina Noah Nora
    Norman Oleg Olga Oliver Olivia Omar Oscar Oskar Otto Owen Pablo Pamela Patricia Patrick Paul Paula Pauline
    Pedro Peggy Penelope Peter Petra Philip Pierre Piotr Priya Rachel Rahul Ralph Ramón Raymond Rebecca Renée
    Ricardo Richard Rita Robert Roberto Robin Roger Roland Ronald Rosa Rosemary Ross Roy Rudolf Rupert Russell
    Ruth Ryan Sabrina Sally Sam Samantha Samir Samuel Sandra Sara Sarah Sasha Scott Sean Sebastian Sergei Sharon
    Sheila Shirley Sigrid Simon Simone Sofia Sonia Sophia Sophie Stanley Stefan Stella Stephanie Stephen Steven
    Stuart Susan Susanna Suzanne Svetlana Sven Sylvia Tamara Tanya Tatiana Teresa Terence Theo Theodore Theresa
    Thomas Tim Timothy Tina Tobias Tom Tomás Tony Trevor Ursula Valentina Valerie Vanessa Vera Veronica Victor
    Victoria Vincent Viola Violet Virginia Vivian Vladimir Walter Wanda Wei Wendy Wilhelm William Winifred
    Winston Xavier Yasmin Yolanda Yuki Yusuf Yvonne Zachary Zoe
""")

"""A story board that tells what happens on it: a Litestar application with the gateway in it.

    litestar --app examples.stories:create_app run

prints a link to the console. Then, in another terminal:

    curl http://127.0.0.1:8000/stories --json '{"title": "Show the stream"}'
    curl -X POST http://127.0.0.1:8000/stories/1/done
"""

import os

import msgspec
from litestar import Litestar, get, post
from litestar.di import NamedDependency, Provide
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from sightline import EventPublisher, Settings, SightlinePlugin, event_type


@event_type("story.added", example={"story_id": 1, "title": "Show the stream"})
class StoryAdded(msgspec.Struct, frozen=True):
    """A story came onto the board."""

    story_id: int
    title: str


@event_type("story.moved", example={"story_id": 1, "from_column": "todo", "to_column": "done"})
class StoryMoved(msgspec.Struct, frozen=True):
    """A story moved to another column."""

    story_id: int
    from_column: str
    to_column: str


class NewStory(msgspec.Struct):
    """What one gives to add a story."""

    title: str


class Story(msgspec.Struct):
    """A story on the board."""

    story_id: int
    title: str
    column: str = "todo"


class Board:
    """The service: it changes the stories, and says so."""

    def __init__(self, stories: list[Story], publisher: EventPublisher) -> None:
        self.stories = stories
        self._publisher = publisher

    async def add(self, title: str) -> Story:
        story = Story(len(self.stories) + 1, title)
        self.stories.append(story)
        await self._publisher.publish(StoryAdded(story.story_id, title))
        return story

    async def move(self, story_id: int, column: str) -> Story:
        if not 1 <= story_id <= len(self.stories):
            raise NotFoundException(f"there is no story {story_id}")
        story = self.stories[story_id - 1]
        moved = StoryMoved(story_id, story.column, column)
        story.column = column
        await self._publisher.publish(moved)
        return story


@get("/stories")
async def show_stories(board: NamedDependency[Board]) -> list[Story]:
    return board.stories


@post("/stories")
async def add_story(data: NewStory, board: NamedDependency[Board]) -> Story:
    return await board.add(data.title)


@post("/stories/{story_id:int}/{column:str}", status_code=200)
async def move_story(
    story_id: FromPath[int], column: FromPath[str], board: NamedDependency[Board]
) -> Story:
    return await board.move(story_id, column)


def create_app() -> Litestar:
    stories: list[Story] = []

    def board(publisher: NamedDependency[EventPublisher]) -> Board:
        return Board(stories, publisher)

    return Litestar(
        [show_stories, add_story, move_story],
        dependencies={"board": Provide(board, sync_to_thread=False)},
        plugins=[SightlinePlugin(Settings.from_environ(os.environ))],
    )

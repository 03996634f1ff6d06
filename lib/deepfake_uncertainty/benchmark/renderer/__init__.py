"""The renderer: heads, skin, light, camera, performances and voices of people who do not exist."""
